package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A Trace is a set of hooks for metrics, logs and traces. The library itself logs
// nothing. Any hook may be nil. The Trace of package
// [github.com/seed-3d5fec5c/baton/mutex] has the same hooks, and documents when and on
// which goroutine they run and what they may do.
//
// The packages mutex and waitgroup have a Trace and an Event with the same fields.
// Convert the Event to use one function for all: mutex.Event(e).
type Trace struct {
	// Waiting is called when a request must wait, for other holders or for Redis.
	Waiting func(context.Context, Event)
	// Acquired is called when a request is granted.
	Acquired func(context.Context, Event)
	// Failed is called when a request ends without a grant.
	Failed func(context.Context, Event)
	// Renewed is called when Redis has renewed the permits of this process. The event
	// describes the first hold with this Trace.
	Renewed func(context.Context, Event)
	// Lost is called when a hold ends before its release.
	Lost func(context.Context, Event)
	// Released is called when a hold was released. If [Weighted.Release] returns a hold in
	// parts, Released is called once, for the last part.
	Released func(context.Context, Event)
	// RedisError is called when a request to Redis failed, whether or not it will be
	// retried. It may come at any time, even after the end of a hold.
	RedisError func(context.Context, Event)
}

// An Event is the argument of every hook of a [Trace]. The comment of a field names the hooks
// that set it. For other hooks the field is zero.
type Event struct {
	// For all hooks.
	Hook   string    // the hook, as a label: "waiting", "acquired", …, "redis_error"
	Key    string    // the key of the semaphore
	At     time.Time // when it happened; the hook may run a moment later
	Weight int64     // the number of permits
	Shared bool      // always false here; used by package mutex
	Fence  int64     // the hold's fencing token, or 0 before the grant

	Waited  bool          // Acquired, Failed: Waiting was called before
	Wait    time.Duration // Acquired, Failed: since the call
	Delay   time.Duration // Waiting: how long a Limiter waits for its tokens; always 0 for a Weighted
	Path    string        // Acquired: Immediate, Local, Lingered, Notified, Polled or Reserved
	Held    time.Duration // Lost, Released: from the grant to the loss, or to the call of Release
	Cause   string        // Lost: KeyMissing, RenewFailed, MaxHoldExceeded or NotReceived
	Latency time.Duration // Renewed: from the request to its reply
	Op      string        // RedisError: the request, "acquire", "renew" or "release"; of a Limiter "take" or "refund"

	// Failed: the error that the call returns, nil if an Allow found too few tokens.
	// RedisError: the error of the request.
	// Released: why Redis did not confirm the release before the hold expired, or nil.
	Err error
}

// The values of [Event].Path: how permits were acquired.
const (
	Immediate = "immediate" // by the first request to Redis, without waiting
	Local     = "local"     // from another goroutine of the same process
	Lingered  = "lingered"  // without a request, because the process had kept them: see Linger
	Notified  = "notified"  // another process released them, and its message arrived
	Polled    = "polled"    // by a repeated request, after a crash, an error or a lost message
	Reserved  = "reserved"  // tokens of a Limiter, available after Delay
)

// The values of [Event].Cause: why a hold was lost.
const (
	KeyMissing      = "key_missing"       // the hold was deleted, evicted, or lost in a restart or failover
	RenewFailed     = "renew_failed"      // Redis was not reached in time, or the process was paused
	MaxHoldExceeded = "max_hold_exceeded" // it was held for longer than MaxHold
	NotReceived     = "not_received"      // the Result was not received from its channel
)

// hooks returns t for the engine.
func (t *Trace) hooks() trace.Trace { return trace.Of((*trace.Hooks[Event])(t)) }
