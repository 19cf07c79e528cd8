package semaphore

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
// It is the Trace of package [github.com/seed-3d5fec5c/baton/mutex], which documents when
// and on which goroutine the hooks run and what they may do. One value may serve both.
// Weight is the number of permits. If [Weighted.Release] returns a hold in portions,
// Released is called for the last of them.
type Trace = lease.Trace

// The arguments of the hooks of a Trace.
type (
	Event          = lease.Event // embedded in each of them
	WaitingInfo    = lease.WaitingInfo
	AcquiredInfo   = lease.AcquiredInfo
	FailedInfo     = lease.FailedInfo
	RenewedInfo    = lease.RenewedInfo
	LostInfo       = lease.LostInfo
	ReleasedInfo   = lease.ReleasedInfo
	RedisErrorInfo = lease.RedisErrorInfo
)

// A GrantPath is the path by which permits were acquired. Its String is a short word for
// use as a label.
type GrantPath = lease.GrantPath

const (
	Immediate = lease.Immediate // by the first request to Redis, without waiting
	Local     = lease.Local     // from another goroutine of the same process
	Notified  = lease.Notified  // another process released them, and its message arrived
	Polled    = lease.Polled    // by a repeated request: after a crash, an error or a lost message
)

// A LossCause is the reason why a hold was lost. Its String is a short word for use as
// a label.
type LossCause = lease.LossCause

const (
	KeyMissing      = lease.KeyMissing      // the hold is not in Redis: deleted, evicted, or lost in a restart or failover
	RenewFailed     = lease.RenewFailed     // Redis was not reached in time, or the process was paused
	MaxHoldExceeded = lease.MaxHoldExceeded // it was held for longer than MaxHold
	NotReceived     = lease.NotReceived     // the Result was not received from its channel
)
