package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// A Task is one of those that a group waits for, from [WaitGroup.Join] until
// [Task.Done], [Task.Abandon] or its loss. It is renewed meanwhile, without anything to call. Its
// methods may be called from any goroutine. The zero Task says what one says that has been
// lost; the methods of a nil Task panic.
type Task struct{ task *lease.Task }

// Done says that the task has ended. It returns ErrLost if it had been lost
// before, so that it is counted as abandoned, and ErrDone if it has been called before.
// It takes no ctx: it waits for Redis, and tries again if need be, but no longer
// than the task would have lived. If Redis could not be reached for so long, it
// returns that error, and the task is counted as abandoned.
func (t *Task) Done() error { return named(t.task.Done()) }

// Abandon says that the task will not be done: those who wait are told so, when
// nothing else is left. It returns what Done returns. To leave the work to others, who
// can join it, add one to the group first: AddContext(ctx, 1).
func (t *Task) Abandon() error { return named(t.task.Abandon()) }

// Err returns nil while the task lives, ErrDone after Done or Abandon and ErrLost after a
// loss. It asks no one: it knows from the process's own clocks until when the task
// lives for certain.
func (t *Task) Err() error { return named(t.task.Err()) }

// Context returns a copy of parent that is cancelled with the cause [ErrLost]
// (see [context.Cause]) when the task is lost. Done does not cancel it. Call
// stop when it is no longer needed.
func (t *Task) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return t.task.Context(parent)
}

// panicked abandons the task. It does not keep the panic waiting for longer than a
// moment: nobody renews the task any more.
func (t *Task) panicked() {
	told := make(chan struct{})
	go func() {
		defer close(told)
		_ = t.task.Abandon()
	}()
	select {
	case <-told:
	case <-time.After(100 * time.Millisecond):
	}
}

func named(err error) error {
	if err == lease.ErrReleased {
		return ErrDone
	}
	return err
}
