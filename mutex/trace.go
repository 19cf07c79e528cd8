package mutex

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
// The ctx is that of the request, for the values that it has; it may have ended. Of
// Lock and TryLock it is [context.Background].
//
// Each request ends by Acquired or by Failed, once, and each hold by Released or by Lost,
// once. So what has begun and not ended is how many are held, and, of those that were
// Waiting, how many wait. A grant that was given back because ctx had ended was
// acquired and released, whether anybody has seen it or not. Of a [Pool] each key is
// told of by itself: of LockContext for several, some may be acquired and released
// because another could not be had. What is refused for a wrong key or a nil client is
// not told.
//
// Of one request and its hold the functions are called in their order, one after the
// other; of different ones at the same time. While a call waits they run on its
// goroutine, and so does Released, once the lock has been passed on: both before the
// call returns, unless a function of that hold is running, which goes first. All else,
// as what becomes of a channel or of a hold, runs on goroutines of its own, so that neither
// a renewal nor anybody else waits for it.
//
// Nothing is locked meanwhile: a function may call whatever it likes, this lock
// included. But its own call waits for it, at Acquired with the lock held, and what comes next
// of that hold is told only when it has returned. So it should return quickly. It must not panic.
//
// Several Mutexes on one key may have a Trace each, or none: whichever a request was
// made through is told. What a process asks, holds and renews for all of them together is
// told once to each Trace.
type Trace = lease.Trace

// An Event is what each function of a Trace is told, and is part of what it is given:
//
//	Key    string
//	At     time.Time // when it happened: the function may be called a moment later
//	Weight int64     // 1
//	Shared bool      // it is a reader
//	Fence  int64     // of the hold, 0 before there is one
type Event = lease.Event

// WaitingInfo says that a request has to wait: for others, or for Redis.
type WaitingInfo = lease.WaitingInfo

// AcquiredInfo says that a request was granted:
//
//	Waited time.Duration // since the call
//	Queued bool          // it was Waiting before
//	How    How           // AtOnce, Inside, ByMessage or ByPoll
type AcquiredInfo = lease.AcquiredInfo

// FailedInfo says that a request has ended without a hold:
//
//	Waited time.Duration // since the call
//	Queued bool          // it was Waiting before
//	Err    error         // what that returns: ErrLocked, ctx's error, or another
type FailedInfo = lease.FailedInfo

// RenewedInfo says that Redis has renewed a hold. Readers of a process are one hold there; of
// those with the same Trace the first is named.
//
//	Took time.Duration // from the request to its answer
type RenewedInfo = lease.RenewedInfo

// LostInfo says that a hold has ended before it was released:
//
//	Held  time.Duration
//	Cause Cause // Gone, Unrenewed, Overdue or Unreceived
type LostInfo = lease.LostInfo

// ReleasedInfo says that a hold was released:
//
//	Held time.Duration // until the call of Unlock
//	Err  error         // why Redis could not confirm it before it ran out, or nil
type ReleasedInfo = lease.ReleasedInfo

// RedisErrorInfo says that a request to Redis has failed, whether it will be repeated or not. It
// may come at any time, and after the end of a hold, too.
//
//	Op  string // "ask", "renew" or "release"; of a wait group "change", "look" or "renew"
//	Err error
type RedisErrorInfo = lease.RedisErrorInfo

// How says how a lock was had. Its String is a word for a label.
type How = lease.How

const (
	AtOnce    = lease.AtOnce    // by its first request to Redis, and without a wait
	Inside    = lease.Inside    // from a hold of its own process: handed on, shared, or asked for after it
	ByMessage = lease.ByMessage // another process has handed it over, and the message came
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
