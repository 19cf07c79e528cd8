package lease

import (
	"context"
	"time"
)

// Trace is a set of functions that are told what becomes of requests and of holds.
// Any of them may be nil. The ctx is that of the request, for its values; it may have
// ended.
//
// A request that is made has one end: Acquired or Failed. It is Waiting before that
// if it has to wait. What was acquired has one end: Released or Lost. It may be
// Renewed before that. Of each request and its hold the functions are called in this
// order and one at a time; those of different requests run at the same time.
//
// They run with nothing locked, on the goroutine of the call that they tell of, before
// that returns, and else on one of their own: nothing but that call waits for them.
type Trace struct {
	Waiting    func(context.Context, WaitingInfo)
	Acquired   func(context.Context, AcquiredInfo)
	Failed     func(context.Context, FailedInfo)
	Renewed    func(context.Context, RenewedInfo)
	Lost       func(context.Context, LostInfo)
	Released   func(context.Context, ReleasedInfo)
	RedisError func(context.Context, RedisErrorInfo)
}

// Event is what each function of a Trace is told.
type Event struct {
	Key    string
	At     time.Time // when it happened: the function may be called a moment later
	Weight int64     // permits of a semaphore, 1 of all else
	Shared bool      // it is a reader
	Fence  int64     // of the hold, 0 before there is one
}

// WaitingInfo says that a request has to wait.
type WaitingInfo struct{ Event }

// AcquiredInfo says that a request was granted.
type AcquiredInfo struct {
	Event
	WaitTime time.Duration // since the call
	Waited   bool          // it was Waiting
	Path     GrantPath
}

// FailedInfo says that a request has ended without a hold.
type FailedInfo struct {
	Event
	WaitTime time.Duration // since the call
	Waited   bool          // it was Waiting
	Err      error         // what the call returns
}

// RenewedInfo says that Redis has renewed a hold, or several of a process that are
// one there: then it is told once for each Trace, with what is said of the first.
type RenewedInfo struct {
	Event
	Latency time.Duration // from the request to its answer
}

// LostInfo says that a hold has ended before it was released.
type LostInfo struct {
	Event
	Held  time.Duration
	Cause LossCause
}

// ReleasedInfo says that a hold was released. Err is why Redis could not confirm it
// before it ran out by itself, nil if it did.
type ReleasedInfo struct {
	Event
	Held time.Duration // until the call
	Err  error
}

// RedisErrorInfo says that an attempt failed, whether it will be repeated or not. What
// several wait for or hold together is told once for each Trace.
type RedisErrorInfo struct {
	Event
	Op  string // "acquire", "renew" or "release"; of a wait group "update", "status" or "renew"
	Err error
}

// GrantPath says how a request was granted.
type GrantPath uint8

const (
	Immediate GrantPath = iota // by its first request to Redis, and without a wait
	Local                      // from a hold of its own process: shared, handed on, or asked for after it
	Notified                   // another process has handed it over, and the message came
	Polled                     // by a request that was repeated
)

func (h GrantPath) String() string { return [...]string{"immediate", "local", "notified", "polled"}[h] }

// LossCause says why a hold was lost.
type LossCause uint8

const (
	KeyMissing      LossCause = iota // Redis has it no more: it was deleted, evicted, or lost in a restart or failover
	RenewFailed                      // Redis could not be reached in time to renew it, or the process was paused
	MaxHoldExceeded                  // it was held for longer than MaxHold
	NotReceived                      // nobody received it from its channel
)

func (c LossCause) String() string {
	return [...]string{"key_missing", "renew_failed", "max_hold_exceeded", "not_received"}[c]
}
