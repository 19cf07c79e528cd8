// Package trace carries events from the engine to the hooks of a Trace. It imports no other package
// of this module.
//
// Each public package has a Trace and an Event of its own, whose fields its documentation shows. They
// have the fields of [Hooks] and [Event], so Go converts one to the other: the engine never copies an
// event field by field, and it allocates nothing where there is no Trace.
package trace

import (
	"context"
	"time"
)

// The hooks, as an Event names them.
const (
	Waiting    = "waiting"
	Acquired   = "acquired"
	Failed     = "failed"
	Renewed    = "renewed"
	Lost       = "lost"
	Released   = "released"
	RedisError = "redis_error"
)

// The paths of a grant.
const (
	Immediate = "immediate" // by the first request to Redis, without waiting
	Local     = "local"     // from another lease of the same process
	Lingered  = "lingered"  // without a request: the process had kept it since its last unlock
	Notified  = "notified"  // by a hand-over whose message arrived
	Polled    = "polled"    // by a repeated request
	Reserved  = "reserved"  // of a limiter: by a request, and then the clock
)

// The causes of a loss.
const (
	KeyMissing      = "key_missing"       // Redis does not have the hold
	RenewFailed     = "renew_failed"      // Redis was not reached in time, or the process was paused
	MaxHoldExceeded = "max_hold_exceeded" // the hold was older than MaxHold
	NotReceived     = "not_received"      // nobody received the result from its channel
)

// Fields are the fields of an Event. package mutex documents them.
type Fields = struct {
	Hook   string
	Key    string
	At     time.Time
	Weight int64
	Shared bool
	Fence  int64

	Waited  bool
	Wait    time.Duration
	Delay   time.Duration
	Path    string
	Held    time.Duration
	Cause   string
	Latency time.Duration
	Op      string
	Err     error
}

// An Event is the Event of the engine.
type Event Fields

// Hooks are the hooks of a public Trace, whose Event is E. package mutex documents them.
type Hooks[E ~Fields] struct {
	Waiting    func(context.Context, E)
	Acquired   func(context.Context, E)
	Failed     func(context.Context, E)
	Renewed    func(context.Context, E)
	Lost       func(context.Context, E)
	Released   func(context.Context, E)
	RedisError func(context.Context, E)
}

// A Trace is what the engine knows of Hooks. Traces are equal if they are the same Hooks.
type Trace interface {
	Has(hook string) bool
	Call(ctx context.Context, e Event) // does nothing without a hook
}

// Of returns the Trace of h, or nil if h is nil.
func Of[E ~Fields](h *Hooks[E]) Trace {
	if h == nil {
		return nil
	}
	return h
}

// All returns Hooks that all call f.
func All[E ~Fields](f func(context.Context, E)) *Hooks[E] {
	return &Hooks[E]{f, f, f, f, f, f, f}
}

func (h *Hooks[E]) Has(hook string) bool { return h.hook(hook) != nil }

func (h *Hooks[E]) Call(ctx context.Context, e Event) {
	if f := h.hook(e.Hook); f != nil {
		f(ctx, E(e))
	}
}

func (h *Hooks[E]) hook(name string) func(context.Context, E) {
	switch name {
	case Waiting:
		return h.Waiting
	case Acquired:
		return h.Acquired
	case Failed:
		return h.Failed
	case Renewed:
		return h.Renewed
	case Lost:
		return h.Lost
	case Released:
		return h.Released
	case RedisError:
		return h.RedisError
	}
	panic("baton: no hook " + name)
}
