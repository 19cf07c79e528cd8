package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// TestSweepWaitGroup does for a wait group what TestSweepMutex does for a lock. An operation that
// returned nil is counted once, and one that failed is not counted.
func TestSweepWaitGroup(t *testing.T) {
	sweepAll(t, append(updates(), groupWaits()...))
}

// addOp returns the operation that adds delta.
func addOp(delta int64) taskgroup.Operation {
	return taskgroup.Operation{Op: taskgroup.OpAdd, Delta: delta}
}

// updates returns scenarios of operations that count. Before each, the count is 2.
func updates() (all []scenario) {
	add := func(name string, least int, run func(w *sweep, s *taskgroup.Session)) {
		all = append(all, scenario{"waitgroup/" + name, least, func(w *sweep) {
			w.added(w.process("B"), 2)
			s := w.us.groups.NewSession("key")
			w.arm()
			run(w, s)
		}})
	}
	for name, delta := range map[string]int64{"add": 3, "done": -1} {
		add(name, 3, func(w *sweep, s *taskgroup.Session) {
			err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) error {
				_, err := s.Update(ctx, name, addOp(delta))
				return err
			})
			if err != nil {
				delta = 0
			}
			w.counted(2+delta, 0, 0)
		})
	}
	// The last Done finishes the generation, which cannot be undone.
	add("last", 3, func(w *sweep, s *taskgroup.Session) {
		err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) error {
			_, err := s.Update(ctx, "done", addOp(-2))
			return err
		})
		if err == nil || w.remaining() == 0 {
			w.counted(0, 0, 0)
		} else {
			w.counted(2, 0, 0)
		}
	})
	for name, op := range map[string]taskgroup.Op{"start": taskgroup.OpStart, "claim": taskgroup.OpClaim} {
		add(name, 9, func(w *sweep, s *taskgroup.Session) {
			var task *taskgroup.Task
			err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) (err error) {
				task, err = s.Start(ctx, name, op, sweepTTL, "")
				return err
			})
			if err != nil {
				w.counted(2, 0, 0)
				return
			}
			count := int64(2)
			if op == taskgroup.OpClaim {
				count = 1
			}
			time.Sleep(sweepTTL / 2)
			w.counted(count, 1, 0)
			if err := task.Err(); err != nil {
				w.Errorf("the task is lost: %v", err)
			}
			if err := task.Done(); err != nil {
				w.Errorf("Done: %v", err)
			}
			w.counted(count, 0, 0)
		})
	}
	return all
}

// groupWaits returns scenarios of waits for a generation. Another process or our own task finishes
// the generation.
func groupWaits() (all []scenario) {
	add := func(name string, least int, tasks int64, before func(w *sweep)) {
		for form, wait := range map[string]func(s *taskgroup.Session, ctx context.Context, results *result.Chan[error, result.ErrorOnly]) error{
			"call": func(s *taskgroup.Session, ctx context.Context, _ *result.Chan[error, result.ErrorOnly]) error {
				return s.Wait(ctx, "wait")
			},
			"channel": func(s *taskgroup.Session, ctx context.Context, results *result.Chan[error, result.ErrorOnly]) error {
				s.WaitChan(ctx, "wait", results)
				return <-results.C()
			},
		} {
			all = append(all, scenario{"waitgroup/" + name + "/" + form, least, func(w *sweep) {
				if before != nil {
					before(w)
				}
				s, results := w.us.groups.NewSession("key"), result.NewChan(result.ErrorOnly{})
				w.requests = "status"
				w.arm()
				err := w.await(retry.CancelTimeout, []error{taskgroup.ErrAbandoned}, func(ctx context.Context) error { return wait(s, ctx, results) })
				w.checkFinished(err, tasks)
				w.checkNoMore(results)
			}})
		}
	}
	add("nothing", 3, 0, nil)
	// One poll may serve both the subscription of the process and that of this group.
	add("notified", 12, 0, func(w *sweep) { w.endedBy(w.process("B"), 50*time.Millisecond) })
	add("polled", 13, 0, func(w *sweep) {
		b := w.process("B")
		b.delayMessages(-1)
		w.endedBy(b, 50*time.Millisecond)
	})
	add("task", 12, 0, func(w *sweep) { w.task(w.us, 50*time.Millisecond, (*taskgroup.Task).Done) })
	add("abandoned", 12, 1, func(w *sweep) { w.task(w.process("B"), 50*time.Millisecond, (*taskgroup.Task).Abandon) })
	return all
}

func (w *sweep) added(p *sweepProcess, delta int64) {
	if _, err := p.groups.NewSession("key").Update(w.Context(), "add", addOp(delta)); err != nil {
		w.Error(err)
	}
}

// endedBy lets a process start a generation, and finish it after d.
func (w *sweep) endedBy(p *sweepProcess, d time.Duration) {
	w.added(p, 1)
	w.others.Go(func() {
		time.Sleep(d)
		w.added(p, -1)
	})
}

// task lets a process start the only task of a generation, and end it after d.
func (w *sweep) task(p *sweepProcess, d time.Duration, end func(*taskgroup.Task) error) {
	t, err := p.groups.NewSession("key").Start(w.Context(), "go", taskgroup.OpStart, sweepTTL, "")
	if err != nil {
		w.Error(err)
		return
	}
	w.others.Go(func() {
		time.Sleep(d)
		if err := end(t); err != nil {
			w.Errorf("the end of a task: %v", err)
		}
	})
}

// checkFinished checks the result of a wait for a generation that lost so many tasks.
func (w *sweep) checkFinished(err error, tasks int64) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	var lost *taskgroup.AbandonedError
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && tasks > 0 || errors.As(err, &lost) && int64(lost.Tasks) != tasks:
		w.Errorf("the wait returns %v, want %d tasks abandoned", err, tasks)
	case w.remaining() > 0:
		w.Error("the wait returns before the end of the generation")
	}
}

func (w *sweep) remaining() int64 { return locked(&w.redis.mu, w.redis.group.remaining) }

// counted checks the state of the generation. After a fault it first waits until an undo has
// succeeded or timed out.
func (w *sweep) counted(count, tasks, abandoned int64) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	if w.plan.j > 0 && tasks == 0 {
		time.Sleep(2 * sweepLate)
	}
	g := w.redis.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if got, want := fmt.Sprint(g.count, len(g.tasks), g.abandoned), fmt.Sprint(count, tasks, abandoned); got != want {
		w.Errorf("count, tasks and abandoned are %s, want %s", got, want)
	}
}
