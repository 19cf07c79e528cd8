package mutex

import "github.com/seed-3d5fec5c/baton/internal/lease"

// A Trace is a set of hooks for metrics, logs and traces. The library itself logs
// nothing. Any hook may be nil:
//
//	type Trace struct {
//		Waiting    func(context.Context, WaitingInfo)    // a request must wait
//		Acquired   func(context.Context, AcquiredInfo)   // a request was granted
//		Failed     func(context.Context, FailedInfo)     // a request ended without a grant
//		Renewed    func(context.Context, RenewedInfo)    // a hold was renewed
//		Lost       func(context.Context, LostInfo)       // a hold ended before its release
//		Released   func(context.Context, ReleasedInfo)   // a hold was released
//		RedisError func(context.Context, RedisErrorInfo) // a request to Redis failed
//	}
//
// Each request ends with exactly one Acquired or Failed. Each hold ends with exactly
// one Released or Lost. These pairs count what is held and, after Waiting, what
// waits. A grant that was given back because ctx was done counts as acquired and
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
type Trace = lease.Trace

// An Event is embedded in the argument of every hook:
//
//	Key    string
//	At     time.Time // when it happened; the hook may run a moment later
//	Weight int64     // 1, or the number of permits of a semaphore
//	Shared bool      // the request is for reading
//	Fence  int64     // the hold's fencing token, or 0 before the grant
type Event = lease.Event

// WaitingInfo reports that a request must wait, for another holder or for Redis.
type WaitingInfo = lease.WaitingInfo

// AcquiredInfo reports that a request was granted:
//
//	WaitTime time.Duration // since the call
//	Waited   bool          // Waiting was called before
//	Path     GrantPath     // Immediate, Local, Notified or Polled
type AcquiredInfo = lease.AcquiredInfo

// FailedInfo reports that a request ended without a grant:
//
//	WaitTime time.Duration // since the call
//	Waited   bool          // Waiting was called before
//	Err      error         // the error that the call returns
type FailedInfo = lease.FailedInfo

// RenewedInfo reports that Redis renewed a hold. The readers of a process are one hold
// in Redis; the event names the first reader with this Trace.
//
//	Latency time.Duration // from the request to its reply
type RenewedInfo = lease.RenewedInfo

// LostInfo reports that a hold ended before it was released:
//
//	Held  time.Duration
//	Cause LossCause // KeyMissing, RenewFailed, MaxHoldExceeded or NotReceived
type LostInfo = lease.LostInfo

// ReleasedInfo reports that a hold was released:
//
//	Held time.Duration // until the call of Unlock
//	Err  error         // why Redis did not confirm it before the hold expired, or nil
type ReleasedInfo = lease.ReleasedInfo

// RedisErrorInfo reports that a request to Redis failed, whether or not it will be
// retried. It may come at any time, even after the end of a hold.
//
//	Op  string // "acquire", "renew" or "release"; for wait groups "update", "status" or "renew"
//	Err error
type RedisErrorInfo = lease.RedisErrorInfo

// A GrantPath is the path by which a lock was acquired. Its String is a short word for
// use as a label.
type GrantPath = lease.GrantPath

const (
	Immediate = lease.Immediate // by the first request to Redis, without waiting
	Local     = lease.Local     // from another goroutine of the same process
	Notified  = lease.Notified  // another process handed it over, and its message arrived
	Polled    = lease.Polled    // by a repeated request: after a crash, an error or a lost message
)

// A LossCause is the reason why a hold was lost. Its String is a short word for use as
// a label.
type LossCause = lease.LossCause

const (
	KeyMissing      = lease.KeyMissing      // the key is not in Redis: deleted, evicted, or lost in a restart or failover
	RenewFailed     = lease.RenewFailed     // Redis was not reached in time, or the process was paused
	MaxHoldExceeded = lease.MaxHoldExceeded // it was held for longer than MaxHold
	NotReceived     = lease.NotReceived     // the Result was not received from its channel
)
