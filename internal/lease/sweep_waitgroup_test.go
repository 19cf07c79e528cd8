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

// TestSweepWaitGroup does for a wait group what TestSweepMutex does for a lock: what
// has returned nil is counted, once, and nothing else is.
func TestSweepWaitGroup(t *testing.T) {
	sweepAll(t, append(updates(), rounds()...))
}

// addOp is one that adds so much.
func addOp(delta int64) taskgroup.Operation {
	return taskgroup.Operation{Op: taskgroup.OpAdd, Delta: delta}
}

// updates are the operations that count. Before each, the count is 2.
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
	// The last one ends the round, and that cannot be taken back.
	add("last", 3, func(w *sweep, s *taskgroup.Session) {
		err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) error {
			_, err := s.Update(ctx, "done", addOp(-2))
			return err
		})
		if err == nil || w.left() == 0 {
			w.counted(0, 0, 0)
		} else {
			w.counted(2, 0, 0)
		}
	})
	for name, what := range map[string]taskgroup.Op{"go": taskgroup.OpStart, "join": taskgroup.OpClaim} {
		add(name, 9, func(w *sweep, s *taskgroup.Session) {
			var task *taskgroup.Task
			err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) (err error) {
				task, err = s.Start(ctx, name, what, sweepTTL, "")
				return err
			})
			if err != nil {
				w.counted(2, 0, 0)
				return
			}
			rest := int64(2)
			if what == taskgroup.OpClaim {
				rest = 1
			}
			time.Sleep(sweepTTL / 2)
			w.counted(rest, 1, 0)
			if err := task.Err(); err != nil {
				w.Errorf("the task is lost: %v", err)
			}
			if err := task.Done(); err != nil {
				w.Errorf("Done: %v", err)
			}
			w.counted(rest, 0, 0)
		})
	}
	return all
}

// rounds are waits for the end of a round, which comes by the last Done of another,
// or of a task of ours.
func rounds() (all []scenario) {
	add := func(name string, least int, tasks int64, before func(w *sweep)) {
		for form, wait := range map[string]func(s *taskgroup.Session, ctx context.Context, box *result.Chan[error, result.ErrorOnly]) error{
			"call": func(s *taskgroup.Session, ctx context.Context, _ *result.Chan[error, result.ErrorOnly]) error {
				return s.Wait(ctx, "wait")
			},
			"channel": func(s *taskgroup.Session, ctx context.Context, box *result.Chan[error, result.ErrorOnly]) error {
				s.WaitChan(ctx, "wait", box)
				return <-box.C()
			},
		} {
			all = append(all, scenario{"waitgroup/" + name + "/" + form, least, func(w *sweep) {
				if before != nil {
					before(w)
				}
				s, box := w.us.groups.NewSession("key"), result.NewChan(result.ErrorOnly{})
				w.requests = "look"
				w.arm()
				err := w.await(retry.CancelTimeout, []error{taskgroup.ErrAbandoned}, func(ctx context.Context) error { return wait(s, ctx, box) })
				w.roundEnds(err, tasks)
				w.nothing(box)
			}})
		}
	}
	add("nothing", 3, 0, nil)
	// A look may serve both that the process hears and that it hears of this group.
	add("told", 12, 0, func(w *sweep) { w.endedBy(w.process("B"), 50*time.Millisecond) })
	add("polled", 13, 0, func(w *sweep) {
		b := w.process("B")
		b.message = func() (int, time.Duration) { return 0, 0 } // nothing is heard
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

// endedBy lets a process begin a round, and end it after so long.
func (w *sweep) endedBy(p *sweepProcess, d time.Duration) {
	w.added(p, 1)
	w.others.Go(func() {
		time.Sleep(d)
		w.added(p, -1)
	})
}

// task lets a process have a task, that is all of a round, and end it after so long.
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

// roundEnds checks what a wait has returned at the end of a round that has lost so many
// tasks.
func (w *sweep) roundEnds(err error, tasks int64) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	var lost *taskgroup.AbandonedError
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && tasks > 0 || errors.As(err, &lost) && int64(lost.Tasks) != tasks:
		w.Errorf("the wait returns %v, want %d tasks abandoned", err, tasks)
	case w.left() > 0:
		w.Error("the wait returns before the end of the round")
	}
}

func (w *sweep) left() int64 {
	w.redis.group.mu.Lock()
	defer w.redis.group.mu.Unlock()
	return w.redis.group.remaining()
}

// counted checks what is left of the round: now, or, after a fault, when undoing is
// given up.
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
