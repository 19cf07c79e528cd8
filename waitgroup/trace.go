package waitgroup

import "github.com/seed-3d5fec5c/baton/internal/lease"

// A Trace is a set of hooks for metrics, logs and traces of the tasks that this process
// starts by Go, Do and Claim. The library itself logs nothing. Any hook may be nil:
//
//	type Trace struct {
//		Waiting    func(context.Context, WaitingInfo)    // not called
//		Acquired   func(context.Context, AcquiredInfo)   // a task was counted
//		Failed     func(context.Context, FailedInfo)     // a task could not be counted
//		Renewed    func(context.Context, RenewedInfo)    // a task was renewed
//		Lost       func(context.Context, LostInfo)       // a task was lost and counts as abandoned
//		Released   func(context.Context, ReleasedInfo)   // a task ended by Done or Abandon
//		RedisError func(context.Context, RedisErrorInfo) // a request failed, also of Add and Wait
//	}
//
// It is the Trace of package [github.com/seed-3d5fec5c/baton/mutex], which documents when
// and on which goroutine the hooks run and what they may do. One value may serve both. For
// a task, Fence is 0 and Path is Immediate. A RedisError with the Op "update" may run on the
// caller's goroutine before the retry.
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

// A LossCause is the reason why a task was lost. Its String is a short word for use as a
// label.
type LossCause = lease.LossCause

const (
	KeyMissing  = lease.KeyMissing  // the task is not in Redis: the group was deleted, evicted, or lost
	RenewFailed = lease.RenewFailed // Redis was not reached in time, or the process was paused
)
