package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestWalkWaitGroup does for a wait group what TestWalkMutex does for a lock: what
// has returned nil is counted, once, and nothing else is.
func TestWalkWaitGroup(t *testing.T) {
	walkAll(t, append(changes(), rounds()...))
}

// change is one that adds so much.
func change(delta int64) Change { return Change{What: Add, Delta: delta} }

// changes are the operations that count. Before each, the count is 2.
func changes() (all []scenario) {
	add := func(name string, least int, run func(w *walk, s *Session)) {
		all = append(all, scenario{"waitgroup/" + name, least, func(w *walk) {
			w.added(w.process("B"), 2)
			s := w.us.NewSession("key")
			w.arm()
			run(w, s)
		}})
	}
	for name, delta := range map[string]int64{"add": 3, "done": -1} {
		add(name, 3, func(w *walk, s *Session) {
			err := w.await(courtesy, nil, func(ctx context.Context) error {
				_, err := s.Change(ctx, name, change(delta))
				return err
			})
			if err != nil {
				delta = 0
			}
			w.counted(2+delta, 0, 0)
		})
	}
	// The last one ends the round, and that cannot be taken back.
	add("last", 3, func(w *walk, s *Session) {
		err := w.await(courtesy, nil, func(ctx context.Context) error {
			_, err := s.Change(ctx, "done", change(-2))
			return err
		})
		if err == nil || w.left() == 0 {
			w.counted(0, 0, 0)
		} else {
			w.counted(2, 0, 0)
		}
	})
	for name, what := range map[string]What{"go": Go, "join": Join} {
		add(name, 9, func(w *walk, s *Session) {
			var task *Task
			err := w.await(courtesy, nil, func(ctx context.Context) (err error) {
				task, err = s.Start(ctx, name, what, walkTTL, "")
				return err
			})
			if err != nil {
				w.counted(2, 0, 0)
				return
			}
			rest := int64(2)
			if what == Join {
				rest = 1
			}
			time.Sleep(walkTTL / 2)
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
	add := func(name string, least int, tasks int64, before func(w *walk)) {
		for form, wait := range map[string]func(s *Session, ctx context.Context, box *Box[error, Bare]) error{
			"call": func(s *Session, ctx context.Context, _ *Box[error, Bare]) error { return s.Wait(ctx, "wait") },
			"channel": func(s *Session, ctx context.Context, box *Box[error, Bare]) error {
				s.WaitChan(ctx, "wait", box)
				return <-box.C()
			},
		} {
			all = append(all, scenario{"waitgroup/" + name + "/" + form, least, func(w *walk) {
				if before != nil {
					before(w)
				}
				s, box := w.us.NewSession("key"), NewBox(Bare{})
				w.asks = "look"
				w.arm()
				err := w.await(courtesy, []error{ErrAbandoned}, func(ctx context.Context) error { return wait(s, ctx, box) })
				w.roundEnds(err, tasks)
				w.nothing(box)
			}})
		}
	}
	add("nothing", 3, 0, nil)
	// A look may serve both that the process hears and that it hears of this group.
	add("told", 12, 0, func(w *walk) { w.endedBy(w.process("B"), 50*time.Millisecond) })
	add("polled", 13, 0, func(w *walk) {
		b := w.process("B")
		b.message = func() (int, time.Duration) { return 0, 0 } // nothing is heard
		w.endedBy(b, 50*time.Millisecond)
	})
	add("task", 12, 0, func(w *walk) { w.task(w.us, 50*time.Millisecond, (*Task).Done) })
	add("abandoned", 12, 1, func(w *walk) { w.task(w.process("B"), 50*time.Millisecond, (*Task).Abandon) })
	return all
}

func (w *walk) added(p *walkProcess, delta int64) {
	if _, err := p.NewSession("key").Change(w.Context(), "add", change(delta)); err != nil {
		w.Error(err)
	}
}

// endedBy lets a process begin a round, and end it after so long.
func (w *walk) endedBy(p *walkProcess, d time.Duration) {
	w.added(p, 1)
	w.others.Go(func() {
		time.Sleep(d)
		w.added(p, -1)
	})
}

// task lets a process have a task, that is all of a round, and end it after so long.
func (w *walk) task(p *walkProcess, d time.Duration, end func(*Task) error) {
	t, err := p.NewSession("key").Start(w.Context(), "go", Go, walkTTL, "")
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
func (w *walk) roundEnds(err error, tasks int64) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	var lost *AbandonedError
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && tasks > 0 || errors.As(err, &lost) && int64(lost.Tasks) != tasks:
		w.Errorf("the wait returns %v, want %d tasks abandoned", err, tasks)
	case w.left() > 0:
		w.Error("the wait returns before the end of the round")
	}
}

func (w *walk) left() int64 {
	w.group.mu.Lock()
	defer w.group.mu.Unlock()
	return w.group.left()
}

// counted checks what is left of the round: now, or, after a fault, when undoing is
// given up.
func (w *walk) counted(count, tasks, abandoned int64) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	if w.plan.j > 0 && tasks == 0 {
		time.Sleep(2 * walkLate)
	}
	g := w.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if got, want := fmt.Sprint(g.count, len(g.tasks), g.abandoned), fmt.Sprint(count, tasks, abandoned); got != want {
		w.Errorf("count, tasks and abandoned are %s, want %s", got, want)
	}
}
