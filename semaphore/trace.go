package semaphore

import "github.com/seed-3d5fec5c/baton/internal/lease"

// A Trace is a set of functions that are told what becomes of requests and holds, for
// metrics, logs and traces; the library itself logs nothing. Any of them may be nil:
//
//	type Trace struct {
//		Waiting    func(context.Context, WaitingInfo)    // a request has to wait
//		Acquired   func(context.Context, AcquiredInfo)   // it was granted
//		Failed     func(context.Context, FailedInfo)     // or has ended without
//		Renewed    func(context.Context, RenewedInfo)    // a hold was renewed
//		Lost       func(context.Context, LostInfo)       // it has ended before it was released
//		Released   func(context.Context, ReleasedInfo)   // or was released
//		RedisError func(context.Context, RedisErrorInfo) // an attempt failed
//	}
//
// It is the Trace of package [github.com/seed-3d5fec5c/baton/mutex], where it is said
// when and where the functions run, what they may do, and what each is told. One value
// may serve both. Of a semaphore, Weight is a number of permits, and what
// [Weighted.Release] gives back in portions is told as released with the last of them.
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

// How says how permits were had. Its String is a word for a label.
type How = lease.How

const (
	AtOnce    = lease.AtOnce    // by their first request to Redis, and without a wait
	Inside    = lease.Inside    // from what the process holds, or by the first request after that
	ByMessage = lease.ByMessage // others have let us in, and the message came
	ByPoll    = lease.ByPoll    // by a request that was repeated: after a death, an error, or a lost message
)

// Cause says why a hold was lost. Its String is a word for a label.
type Cause = lease.Cause

const (
	Gone       = lease.Gone       // Redis has it no more: deleted, evicted, or lost in a restart or failover
	Unrenewed  = lease.Unrenewed  // Redis could not be reached in time, or the process was paused
	Overdue    = lease.Overdue    // it was held for longer than MaxHold
	Unreceived = lease.Unreceived // nobody received it from its channel
)
