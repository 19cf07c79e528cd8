package taskgroup

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clientStore is the store of a session.
type clientStore interface {
	client.Store
	Store
}

// newSession returns the only session of a process.
func newSession(s clientStore) *Session { return NewManager(client.New(s, nil), s).NewSession("key") }

// countingStore is a store whose updates call do. Its tasks last until ended is set. The embedded
// interface is nil: no test calls the other methods.
type countingStore struct {
	clientStore
	do    func(Operation) (UpdateReply, error)
	ended atomic.Bool
}

func (c *countingStore) UpdateGroup(_ context.Context, q Operation) (UpdateReply, error) {
	return c.do(q)
}

func (c *countingStore) MaxBlock() time.Duration { return 0 }

func (c *countingStore) Renew(rs []client.Renewal, begin func(int) bool, done func(int, client.RenewResult)) {
	for i := range rs {
		if begin(i) {
			done(i, client.RenewResult{Held: !c.ended.Load()})
		}
	}
}

// TestStartTooLate starts a task whose reply arrives after its TTL. Other processes have counted it as
// abandoned by then, so Start must start another task.
func TestStartTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ops []Operation
		store := &countingStore{do: func(c Operation) (UpdateReply, error) {
			if ops = append(ops, c); len(ops) == 1 {
				time.Sleep(time.Second)
			}
			if len(ops) == 2 {
				return UpdateReply{Outcome: TaskAbandoned}, nil // the reply to the repetition
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
		if len(ops) != 3 || ops[2].Token != task.token || ops[0].Seq != ops[1].Seq || ops[0].Token != ops[1].Token ||
			ops[2].Seq == ops[0].Seq || ops[2].Token == ops[0].Token {
			t.Errorf("the operations are %+v", ops)
		}
		_ = task.Done()
	})
}

// TestTaskIsLost loses a task that Redis has ended before the end of its window, and a task whose window
// has ended.
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
				t.Errorf("%s: reported after %v", what, took)
			}
			_ = task.Done()
		})
	}
}

// TestSessionAckedThrough checks that AckedThrough includes no operation in flight, and all earlier ones
// that are acknowledged.
func TestSessionAckedThrough(t *testing.T) {
	var acked []int64
	store := &countingStore{do: func(c Operation) (UpdateReply, error) {
		acked = append(acked, c.AckedThrough)
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
	if want := []int64{0, 0, 4}; !slices.Equal(acked, want) {
		t.Errorf("AckedThrough is %v, want %v", acked, want)
	}
}

// TestOperationUndone ends ctx before the reply to an operation. The operation is undone under its own
// number, and acknowledged only after that.
func TestOperationUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ops []Operation
		store := &countingStore{do: func(c Operation) (UpdateReply, error) {
			mu.Lock()
			ops = append(ops, c)
			first := len(ops) == 1
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
		if len(ops) != 2 || ops[1].Op != OpUndo || ops[1].Seq != ops[0].Seq || ops[1].AckedThrough != 0 || s.ackedThrough != 1 {
			t.Errorf("the operations are %+v, acked through %d", ops, s.ackedThrough)
		}
		time.Sleep(time.Minute)
	})
}

// TestStartWithAnAckedNumberFails starts a task whose number Redis has as acknowledged. It is not counted.
func TestStartWithAnAckedNumberFails(t *testing.T) {
	store := &countingStore{do: func(Operation) (UpdateReply, error) { return UpdateReply{Outcome: Superseded}, nil }}
	for _, op := range []Op{OpStart, OpClaim} {
		task, err := newSession(store).Start(t.Context(), "go", op, time.Minute, "")
		if task != nil || !errors.Is(err, errSuperseded) || !retry.IsPermanent(err) {
			t.Errorf("%s: %v, %v", op, task, err)
		}
	}
}

// TestDoneFails ends a task that Redis has counted as abandoned, a task whose Done Redis refuses, and a task
// whose Done has a number that Redis has as acknowledged, as if another process uses the same numbers.
func TestDoneFails(t *testing.T) {
	refused := retry.Permanent(errors.New("refused"))
	for _, c := range []struct {
		reply UpdateReply
		err   error
		is    error
		text  string
	}{
		{UpdateReply{Outcome: TaskAbandoned}, nil, ErrTaskLost, `baton: done "key": task lost`},
		{UpdateReply{}, refused, refused, `baton: done "key": refused`},
		{UpdateReply{Outcome: Superseded}, nil, errSuperseded, `baton: done "key": ` + errSuperseded.Error()},
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
			if !errors.Is(err, c.is) || err.Error() != c.text || retry.IsPermanent(err) != (c.is != ErrTaskLost) {
				t.Errorf("Done returns %v, want %v", err, c.is)
			}
			if c.is == ErrTaskLost && !errors.Is(task.Err(), ErrTaskLost) {
				t.Errorf("Err is %v", task.Err())
			}
		})
	}
}
