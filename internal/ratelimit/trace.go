package ratelimit

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// emit calls a hook on this goroutine. No lock may be held.
func (r Reservation) emit(ctx context.Context, hook string, e trace.Event) {
	if r.Trace == nil || !r.Trace.Has(hook) {
		return
	}
	e.Hook, e.Key, e.At, e.Weight = hook, r.Key, time.Now(), int64(r.N)
	r.Trace.Call(ctx, e)
}

// Ended emits the end of the request: Acquired with its tokens after a wait, or Failed.
func (r Reservation) Ended(ctx context.Context, wait time.Duration, taken bool, err error) {
	if r.Trace == nil {
		return
	}
	e := trace.Event{Waited: wait > 0, Wait: time.Since(r.Began), Err: err}
	if !taken {
		r.emit(ctx, trace.Failed, e)
		return
	}
	e.Path = trace.Immediate
	switch {
	case wait > 0:
		e.Path = trace.Reserved
	case r.repeated:
		e.Path = trace.Polled
	}
	r.emit(ctx, trace.Acquired, e)
}

// Asked emits a failed request to Redis.
func (r Reservation) Asked(ctx context.Context, op string, err error) {
	if err != nil {
		r.emit(ctx, trace.RedisError, trace.Event{Op: op, Err: err})
	}
}
