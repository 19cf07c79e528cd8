// Package ratelimit takes tokens of a rate limit and waits until they may be used. It does not
// know Redis, which it reaches through a [Store].
//
//	wait.go     Wait, WaitChan: take tokens and wait; refund: give them back
//	pending.go  pendingReservation: a WaitChan that waits until its tokens may be used
//	client.go   Client: what the reservations of a limiter share
//	store.go    Store: what Redis is asked for
package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// Wait takes the tokens, and returns when they may be used. If ctx ends before that, it gives them
// back. If ctx's deadline is earlier, it takes none.
func (r Reservation) Wait(ctx context.Context, store Store) error {
	r, wait, err := r.reserve(ctx, store)
	if err != nil {
		r.Ended(ctx, 0, false, err)
		return err
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		r.emit(ctx, trace.Waiting, trace.Event{Delay: wait})
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	if ctx.Err() == nil {
		r.used()
		r.Ended(ctx, wait, true, nil)
		return nil
	}
	err = r.refund(ctx, store)
	r.Ended(ctx, wait, false, err)
	return err
}

// used notes that the tokens will not be given back.
func (r Reservation) used() {
	if r.answered {
		r.Client.finish(r.ID)
	}
}

// reserve takes the tokens and returns the wait until they may be used, counted from the reply: so
// nobody is early, however long the reply takes. It also returns the reservation with its state after
// that.
func (r Reservation) reserve(ctx context.Context, store Store) (Reservation, time.Duration, error) {
	if ctx.Err() != nil { // nothing was taken, so there is nothing to give back
		return r, 0, retry.Wrap(r.Op, r.Key, retry.CtxError(ctx))
	}
	deadline, ends := ctx.Deadline()
	requests := 0
	result, err := retry.Do(ctx, r.Op, r.Key, true, func(ctx context.Context) (TakeResult, error) {
		requests++
		r := r
		r.Finished = r.Client.popFinished()
		r.MaxWait = NoMaxWait
		if ends {
			r.MaxWait = max(time.Until(deadline), 0)
		}
		result, err := store.Take(ctx, r)
		r.Asked(ctx, "take", err)
		return result, err
	})
	if err == nil { // else a request that ctx has ended may still read r and count
		r.answered, r.repeated = requests == 1, requests > 1
	}
	switch {
	case ctx.Err() != nil:
		if err == nil {
			return r, 0, r.refund(ctx, store)
		}
		_ = r.refund(ctx, store)
		return r, 0, err
	case err != nil:
		return r, 0, err
	case ends && result.Wait > time.Until(deadline):
		if result.Taken { // by an earlier request, which had enough time
			_ = r.refund(ctx, store)
		}
		return r, 0, retry.Wrap(r.Op, r.Key, fmt.Errorf("waiting %v for %d tokens would exceed the deadline: %w", result.Wait, r.N, context.DeadlineExceeded))
	case !result.Taken:
		return r, 0, retry.Wrap(r.Op, r.Key, retry.Permanent(fmt.Errorf("%d tokens will never be available", r.N)))
	}
	return r, result.Wait, nil
}

// refund gives the tokens back. It waits a moment until Redis has executed that, so that a program
// may exit at once. It returns why ctx has ended.
func (r Reservation) refund(ctx context.Context, store Store) error {
	requests := 0
	give := func(ctx context.Context) error {
		requests++
		err := store.Refund(ctx, r)
		r.Asked(ctx, "refund", err)
		if r.answered && err == nil && requests == 1 {
			r.Client.finish(r.ID)
		}
		return retry.UnmarkDenied(err)
	}
	r.Client.refunds.Try(ctx, give, time.Now().Add(Retention), func() {})
	if ctx.Err() == nil {
		return nil
	}
	return retry.Wrap(r.Op, r.Key, retry.CtxError(ctx))
}

// WaitChan is like Wait, but returns at once and puts the result into sink. A
// goroutine asks Redis; the wait that follows has none.
func (r Reservation) WaitChan(ctx context.Context, store Store, sink result.Sink) {
	if ctx.Err() != nil { // here, so that a nil ctx panics where its caller can see it
		err := retry.Wrap(r.Op, r.Key, retry.CtxError(ctx))
		sink.Send(err)
		r.Ended(ctx, 0, false, err)
		return
	}
	go func() {
		r, wait, err := r.reserve(ctx, store)
		replied := time.Now()
		if err != nil {
			r.Ended(ctx, 0, false, err)
			sink.Send(err)
			return
		}
		if wait > 0 {
			r.emit(ctx, trace.Waiting, trace.Event{Delay: wait})
			wait = max(wait-time.Since(replied), time.Nanosecond) // the hook takes time
		}
		p := &pendingReservation{reservation: r, ctx: ctx, store: store, sink: sink, wait: wait, emitted: make(chan struct{})}
		p.start(wait)
	}()
}
