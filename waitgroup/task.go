package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A Task is a unit of work that a group waits for, from [WaitGroup.Claim] until
// [Task.Done], [Task.Abandon] or its loss. It is renewed in the background. Its methods
// may be called by multiple goroutines simultaneously. The zero Task behaves like a lost
// task. Methods of a nil Task panic.
type Task struct{ task *taskgroup.Task }

// Done ends the task. It returns ErrLost if the task had already ended and counts as
// abandoned, and ErrDone if Done or Abandon was called before. Done takes no ctx. While
// Redis is unreachable it retries, at most until the task would have expired. It then
// returns the last Redis error, and the task counts as abandoned.
func (t *Task) Done() error { return t.task.Done() }

// Abandon ends the task and marks it as not done. Waits return an [AbandonedError] once
// nothing else is left. Abandon returns the errors of Done.
//
// To pass the work on to another process, call AddContext(ctx, 1), and then Done instead of
// Abandon. Another process can then claim the work, and waits do not report it as abandoned.
func (t *Task) Abandon() error { return t.task.Abandon() }

// Err returns nil while the task is running, ErrDone after Done or Abandon, and ErrLost
// after a loss. Err does not contact Redis; it uses the local clock.
func (t *Task) Err() error { return t.task.Err() }

// Context returns a copy of parent that is canceled with the cause [ErrLost] when the task
// is lost; see [context.Cause]. Done does not cancel it. Call stop when it is no longer
// needed.
func (t *Task) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return t.task.Context(parent)
}

// abandonAfterPanic abandons the task. It delays the panic by 100 ms at most; nobody renews the task
// any more.
func (t *Task) abandonAfterPanic() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = t.task.Abandon()
	}()
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond):
	}
}
