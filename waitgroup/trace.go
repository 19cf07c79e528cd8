package waitgroup

import "github.com/seed-3d5fec5c/baton/internal/lease"

// A Trace is a set of functions that are told what becomes of the tasks that this process
// begins by Go, GoContext and Join, for metrics, logs and traces; the library itself logs
// nothing. Any of them may be nil:
//
//	type Trace struct {
//		Waiting    func(context.Context, WaitingInfo)    // is not called
//		Acquired   func(context.Context, AcquiredInfo)   // a task was counted
//		Failed     func(context.Context, FailedInfo)     // or could not be
//		Renewed    func(context.Context, RenewedInfo)    // it was renewed
//		Lost       func(context.Context, LostInfo)       // it was lost, and counts as abandoned
//		Released   func(context.Context, ReleasedInfo)   // or has ended, by Done or Abandon
//		RedisError func(context.Context, RedisErrorInfo) // an attempt failed, also of Add and Wait
//	}
//
// It is the Trace of package [github.com/seed-3d5fec5c/baton/mutex], where it is said
// when and where the functions run, what they may do, and what each is told. One value
// may serve both. Of a task, Fence is 0 and How is at once. A RedisError whose Op is
// "change" may run on the goroutine that has tried, before it tries again.
type Trace = lease.Trace

// What the functions of a Trace are told.
type (
	Event          = lease.Event // a part of each
	WaitingInfo    = lease.WaitingInfo
	AcquiredInfo   = lease.AcquiredInfo
	FailedInfo     = lease.FailedInfo
	RenewedInfo    = lease.RenewedInfo
	LostInfo       = lease.LostInfo
	ReleasedInfo   = lease.ReleasedInfo
	RedisErrorInfo = lease.RedisErrorInfo
)

// Cause says why a task was lost. Its String is a word for a label.
type Cause = lease.Cause

const (
	Gone      = lease.Gone      // Redis has it no more: the group was deleted, evicted, or lost
	Unrenewed = lease.Unrenewed // Redis could not be reached in time, or the process was paused
)
