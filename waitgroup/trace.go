package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A Trace is a set of hooks for metrics, logs and traces of the tasks that this process
// starts by Go, Do and Claim. The library itself logs nothing. Any hook may be nil. The
// Trace of package [github.com/seed-3d5fec5c/baton/mutex] has the same hooks, and documents
// when and on which goroutine they run and what they may do.
//
// The packages mutex and semaphore have a Trace and an Event with the same fields.
// Convert the Event to use one function for all: mutex.Event(e).
type Trace struct {
	// Waiting is never called here; it is used by the other packages.
	Waiting func(context.Context, Event)
	// Acquired is called when a task is counted.
	Acquired func(context.Context, Event)
	// Failed is called when a task could not be counted.
	Failed func(context.Context, Event)
	// Renewed is called when Redis has renewed a task.
	Renewed func(context.Context, Event)
	// Lost is called when a task is lost. It counts as abandoned.
	Lost func(context.Context, Event)
	// Released is called when Done or Abandon has ended a task.
	Released func(context.Context, Event)
	// RedisError is called when a request to Redis failed, even if it is retried. Requests of
	// Add and Wait count too. For the Op "update" it may run on the caller's goroutine, before
	// the retry.
	RedisError func(context.Context, Event)
}

// An Event is the argument of every hook of a [Trace]. The comment of a field names the hooks
// that set it. For other hooks the field is zero.
type Event struct {
	// For all hooks.
	Hook   string    // the hook, as a label: "acquired", "failed", …, "redis_error"
	Key    string    // the key of the group
	At     time.Time // when it happened; the hook may run a moment later
	Weight int64     // always 1 here; used by package semaphore
	Shared bool      // always false here; used by package mutex
	Fence  int64     // always 0 here; used by the packages mutex and semaphore

	Waited  bool          // always false here; used by the packages mutex and semaphore
	Wait    time.Duration // Acquired, Failed: since the call
	Delay   time.Duration // always 0 here; used by the limiter of package semaphore
	Path    string        // Acquired: "immediate"
	Held    time.Duration // Lost, Released: from the start to the loss, or to the call of Done or Abandon
	Cause   string        // Lost: KeyMissing or RenewFailed
	Latency time.Duration // Renewed: from the request to its reply
	Op      string        // RedisError: the request, "update", "status" or "renew"

	// Failed: the error that the call returns. RedisError: the error of the request.
	// Released: why Redis did not confirm the end before the task expired, or nil.
	Err error
}

// The values of [Event].Cause: why a task was lost.
const (
	KeyMissing  = "key_missing"  // the group was deleted, evicted, or lost
	RenewFailed = "renew_failed" // Redis was not reached in time, or the process was paused
)

// hooks returns t for the engine.
func (t *Trace) hooks() trace.Trace { return trace.Of((*trace.Hooks[Event])(t)) }
