package waitgroup_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestSteps ends ctx before and after each command of each operation, has each
// command get lost, or come twice or late, and checks what the caller gets, and that
// what has returned nil is counted, once, and nothing else is.
func TestSteps(t *testing.T) {
	for name, of := range map[string]struct {
		run          func(wg *waitgroup.WaitGroup, ctx context.Context) (*waitgroup.Task, error)
		count, tasks int64 // what it adds
	}{
		"AddContext": {func(wg *waitgroup.WaitGroup, ctx context.Context) (*waitgroup.Task, error) {
			return nil, wg.AddContext(ctx, 3)
		}, 3, 0},
		"DoneContext": {func(wg *waitgroup.WaitGroup, ctx context.Context) (*waitgroup.Task, error) {
			return nil, wg.DoneContext(ctx)
		}, -1, 0},
		"Join": {(*waitgroup.WaitGroup).Join, -1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Steps(t, 1, func(s *redistest.Step) {
				must(waitgroup.New(s.Theirs, "key").AddContext(s.Context(), 2))
				our := waitgroup.New(s.Ours, "key")
				var task *waitgroup.Task
				err := s.Call(func(ctx context.Context) (err error) {
					task, err = of.run(our, ctx)
					return err
				})
				if s.Faulty { // until it is undone, and what comes late has found that it was
					time.Sleep(time.Second)
				}
				if err == nil {
					holds(s.T, "after success", s.Theirs, 2+of.count, of.tasks)
				} else {
					holds(s.T, "after failure", s.Theirs, 2, 0)
				}
				if task != nil {
					must(task.Done())
					holds(s.T, "after the task", s.Theirs, 2+of.count, 0)
				}
			})
		})
	}
}

// TestWaitSteps does the same to the waits, and to a task whose end they wait for.
func TestWaitSteps(t *testing.T) {
	for name, wait := range map[string]func(wg *waitgroup.WaitGroup, ctx context.Context) error{
		"WaitContext": (*waitgroup.WaitGroup).WaitContext,
		"WaitChan":    func(wg *waitgroup.WaitGroup, ctx context.Context) error { return <-wg.WaitChan(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Steps(t, 3, func(s *redistest.Step) {
				our, their := waitgroup.New(s.Ours, "key"), waitgroup.New(s.Theirs, "key")
				must(their.AddContext(s.Context(), 1))
				var others sync.WaitGroup
				others.Go(func() {
					time.Sleep(50 * time.Millisecond)
					must(their.DoneContext(context.Background()))
				})
				start := time.Now()
				err := s.Call(func(ctx context.Context) error { return wait(our, ctx) })
				if took := time.Since(start); err == nil && (took < 50*time.Millisecond || took > 50*time.Millisecond+poll) {
					s.Errorf("the wait ends after %v", took)
				}
				others.Wait()
			})
		})
	}
	t.Run("GoContext", func(t *testing.T) {
		redistest.Steps(t, 4, func(s *redistest.Step) {
			our, their := waitgroup.New(s.Ours, "key"), waitgroup.New(s.Theirs, "key")
			must(their.AddContext(s.Context(), 1))
			ran, inner := 0, error(nil)
			start := time.Now()
			err := our.GoContext(s.Ctx(), func(ctx context.Context) error {
				ran++
				time.Sleep(our.TTL / 2) // it is renewed
				inner = ctx.Err()
				return nil
			})
			if s.Faulty {
				time.Sleep(time.Second)
			}
			switch {
			case err == nil && (ran != 1 || inner != nil && !(s.Ctx().Err() != nil)):
				s.Errorf("f has run %d times, and its ctx has ended with %v", ran, inner)
			case err != nil && (ran != 0 || !(s.Ctx().Err() != nil) || time.Since(start) > 2*time.Second):
				s.Errorf("GoContext returns %v after %v, and f has run %d times", err, time.Since(start), ran)
			}
			holds(s.T, "at the end", s.Theirs, 1, 0)
		})
	})
}
