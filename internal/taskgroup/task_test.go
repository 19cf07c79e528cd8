package taskgroup

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// countingStore is a store that counts as do says, and keeps tasks until they are ended.
type countingStore struct {
	Store
	do    func(Operation) (UpdateReply, error)
	ended atomic.Bool
}

func (c *countingStore) UpdateGroup(_ context.Context, q Operation) (UpdateReply, error) {
	return c.do(q)
}

func (c *countingStore) GroupStatus(context.Context, string, int64) (Generation, error) {
	panic("nobody waits")
}

// clientStore is what a session needs.
type clientStore interface {
	client.Store
	Store
}

// newSession returns a session of a process that has no other.
func newSession(s clientStore) *Session { return NewManager(client.New(s, nil), s).NewSession("key") }

func (c *countingStore) Subscribe(context.Context, client.MessageHandler) { panic("nobody waits") }

func (c *countingStore) DoneChannel(string) (string, error) { panic("nobody waits") }

func (c *countingStore) MaxBlock() time.Duration { return 0 }

func (c *countingStore) Renew(rs []client.Renewal, begin func(int) bool, done func(int, client.RenewResult)) {
	for i := range rs {
		if begin(i) {
			done(i, client.RenewResult{Held: !c.ended.Load()})
		}
	}
}

// TestStartTooLate has Redis count a task and answer when its time is over: others
// have counted it as abandoned by then, and what begins is another one.
func TestStartTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []Operation
		store := &countingStore{do: func(c Operation) (UpdateReply, error) {
			if asked = append(asked, c); len(asked) == 1 {
				time.Sleep(time.Second)
			}
			if len(asked) == 2 {
				return UpdateReply{Outcome: TaskAbandoned}, nil // so it says when it is asked again
			}
			return UpdateReply{Outcome: Applied}, nil
		}}
		task, err := newSession(store).Start(t.Context(), "go", OpStart, time.Second, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Err(); err != nil {
			t.Error(err)
		}
		switch {
		case len(asked) != 3 || asked[2].Token != task.token:
			t.Errorf("it has asked %+v", asked)
		case asked[0].Seq != asked[1].Seq || asked[0].Token != asked[1].Token || asked[2].Seq == asked[0].Seq || asked[2].Token == asked[0].Token:
			t.Errorf("it has asked %+v", asked)
		}
		_ = task.Done()
	})
}

// TestTaskIsLost tells of a task that Redis has ended, before its window is over,
// and of one whose window is over.
func TestTaskIsLost(t *testing.T) {
	for what, change := range map[string]func(*countingStore, *Task){
		"renewal refused": func(c *countingStore, _ *Task) { c.ended.Store(true) },
		"machine asleep": func(_ *countingStore, t *Task) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.window = client.NewTrustWindow(time.Now().Add(-time.Minute), t.ttl)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &countingStore{do: func(Operation) (UpdateReply, error) { return UpdateReply{Outcome: Applied}, nil }}
			task, err := newSession(store).Start(t.Context(), "go", OpStart, 3*time.Second, "")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			ctx, stop := task.Context(t.Context())
			defer stop()
			change(store, task)
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
			if context.Cause(ctx) != ErrTaskLost || !errors.Is(task.Err(), ErrTaskLost) {
				t.Errorf("%s: %v, %v", what, context.Cause(ctx), task.Err())
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: told after %v", what, took)
			}
			_ = task.Done()
		})
	}
}

// TestSessionAckedThrough declares nothing over that is under way, and nothing under way that
// is over.
func TestSessionAckedThrough(t *testing.T) {
	var low []int64
	store := &countingStore{do: func(c Operation) (UpdateReply, error) {
		low = append(low, c.AckedThrough)
		return UpdateReply{Outcome: Applied}, nil
	}}
	s := newSession(store)
	one, two := s.number(Operation{Op: OpAdd, Delta: 1}), s.number(Operation{Op: OpAdd, Delta: 1})
	s.ack(two.Seq)
	for range 2 {
		if _, err := s.Update(t.Context(), "add", Operation{Op: OpAdd, Delta: 1}); err != nil {
			t.Error(err)
		}
	}
	s.ack(one.Seq)
	if _, err := s.Update(t.Context(), "add", Operation{Op: OpAdd, Delta: 1}); err != nil {
		t.Error(err)
	}
	if want := []int64{0, 0, 4}; len(low) != 3 || low[0] != want[0] || low[1] != want[1] || low[2] != want[2] {
		t.Errorf("low is %v, want %v", low, want)
	}
}

// TestOperationUndone undoes what ctx has overtaken, under its own number, and declares
// it over then and not before.
func TestOperationUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []Operation
		store := &countingStore{do: func(c Operation) (UpdateReply, error) {
			mu.Lock()
			asked = append(asked, c)
			first := len(asked) == 1
			mu.Unlock()
			if first {
				time.Sleep(time.Minute)
			}
			return UpdateReply{Outcome: Applied}, nil
		}}
		s := newSession(store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Update(ctx, "add", Operation{Op: OpAdd, Delta: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(asked) != 2 || asked[1].Op != OpUndo || asked[1].Seq != asked[0].Seq || asked[1].AckedThrough != 0 || s.ackedThrough != 1 {
			t.Errorf("it has asked %+v, and low is %d", asked, s.ackedThrough)
		}
		time.Sleep(time.Minute)
	})
}

// TestChangeVoided makes operations that Redis takes for over, as those of another
// process that uses their number: nobody is told that they have counted.
func TestChangeVoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outcome := Applied
		store := &countingStore{do: func(Operation) (UpdateReply, error) { return UpdateReply{Outcome: outcome}, nil }}
		s := newSession(store)
		task, err := s.Start(t.Context(), "go", OpStart, time.Minute, "")
		if err != nil {
			t.Fatal(err)
		}
		outcome = Superseded
		_, added := s.Update(t.Context(), "add", Operation{Op: OpAdd, Delta: 1})
		_, started := s.Start(t.Context(), "go", OpStart, time.Minute, "")
		for what, err := range map[string]error{"add": added, "go": started, "done": task.Done()} {
			if !errors.Is(err, errSuperseded) || !retry.IsPermanent(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestDoneOfAnAbandonedTask ends a task that Redis has counted as abandoned, and one when
// Redis refuses.
func TestDoneOfAnAbandonedTask(t *testing.T) {
	refused := retry.Permanent(errors.New("refused"))
	for name, c := range map[string]struct {
		reply UpdateReply
		err   error
		is    error
		says  string
	}{
		"abandoned": {UpdateReply{Outcome: TaskAbandoned}, nil, ErrTaskLost, `baton: done "key": task lost`},
		"refused":   {UpdateReply{}, refused, refused, `baton: done "key": refused`},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &countingStore{do: func(o Operation) (UpdateReply, error) {
				if o.Op == OpDone {
					return c.reply, c.err
				}
				return UpdateReply{Outcome: Applied}, nil
			}}
			task, err := newSession(store).Start(t.Context(), "go", OpStart, time.Minute, "")
			if err != nil {
				t.Fatal(err)
			}
			err = task.Done()
			if !errors.Is(err, c.is) || err.Error() != c.says {
				t.Errorf("%s: Done returns %v", name, err)
			}
			if c.is == ErrTaskLost && !errors.Is(task.Err(), ErrTaskLost) {
				t.Errorf("%s: Err is %v", name, task.Err())
			}
		})
	}
}
