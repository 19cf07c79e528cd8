package mutex

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A Trace is a set of hooks for metrics, logs and traces. The library itself logs
// nothing. Any hook may be nil.
//
// Each request ends with exactly one Acquired or Failed. Each hold ends with exactly
// one Released or Lost. So Acquired minus Released and Lost is the number of holds.
// Waiting minus those Acquired and Failed events that have Waited is the number of
// waiters. A grant that was given back because ctx was done counts as acquired and
// released. A [Pool] reports each key separately. Invalid keys and nil clients are
// not reported.
//
// The ctx is the one passed to the call, for its values; it may be done. For Lock and
// TryLock it is [context.Background].
//
// The hooks of one request and its hold run in order, one at a time. Hooks of
// different requests may run concurrently. While a call waits, and before Unlock
// returns, hooks run on the caller's goroutine. All other hooks run on goroutines of
// their own, so they never delay a renewal.
//
// Hooks run without locks held and may call any method, including on this Mutex. They
// delay the call that triggered them and the later hooks of the same hold, so they
// should return quickly. They must not panic.
//
// Several Mutexes with the same key may have different Traces. Each call is reported
// to the Trace of its Mutex. An event that concerns all of them, such as a renewal,
// is reported once to each Trace.
//
// The packages semaphore and waitgroup have a Trace and an Event with the same fields.
// Convert the Event to use one function for all: mutex.Event(e).
type Trace struct {
	// Waiting is called when a request must wait, for another holder or for Redis.
	Waiting func(context.Context, Event)
	// Acquired is called when a request is granted.
	Acquired func(context.Context, Event)
	// Failed is called when a request ends without a grant.
	Failed func(context.Context, Event)
	// Renewed is called when Redis has renewed a hold. The readers of a process are one
	// hold in Redis: the event describes the first reader with this Trace.
	Renewed func(context.Context, Event)
	// Lost is called when a hold ends before its release.
	Lost func(context.Context, Event)
	// Released is called when a hold was released.
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
	Key    string    // the key of the lock
	At     time.Time // when it happened; the hook may run a moment later
	Weight int64     // 1, or the number of permits of a semaphore
	Shared bool      // the request is for reading
	Fence  int64     // the hold's fencing token, or 0 before the grant

	Waited  bool          // Acquired, Failed: Waiting was called before
	Wait    time.Duration // Acquired, Failed: since the call
	Delay   time.Duration // always 0 here; used by the limiter of package semaphore
	Path    string        // Acquired: Immediate, Local, Lingered, Notified or Polled
	Held    time.Duration // Lost, Released: from the grant to the loss, or to the call of Unlock
	Cause   string        // Lost: KeyMissing, RenewFailed, MaxHoldExceeded or NotReceived
	Latency time.Duration // Renewed: from the request to its reply
	Op      string        // RedisError: the request, "acquire", "renew" or "release"

	// Failed: the error that the call returns, or ErrValueFound. RedisError: the error of the request.
	// Released: why Redis did not confirm the release before the hold expired, or nil.
	Err error
}

// The values of [Event].Path: how a lock was acquired.
const (
	Immediate = "immediate" // by the first request to Redis, without waiting
	Local     = "local"     // from another goroutine of the same process
	Lingered  = "lingered"  // without a request, because the process had kept it: see Linger
	Notified  = "notified"  // another process handed it over, and its message arrived
	Polled    = "polled"    // by a repeated request, after a crash, an error or a lost message
)

// The values of [Event].Cause: why a hold was lost.
const (
	KeyMissing      = "key_missing"       // the key was deleted, evicted, or lost in a restart or failover
	RenewFailed     = "renew_failed"      // Redis was not reached in time, or the process was paused
	MaxHoldExceeded = "max_hold_exceeded" // it was held for longer than MaxHold
	NotReceived     = "not_received"      // the Result was not received from its channel
)

// hooks returns t for the engine.
func (t *Trace) hooks() trace.Trace { return trace.Of((*trace.Hooks[Event])(t)) }
