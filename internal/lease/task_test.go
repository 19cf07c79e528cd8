package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tallying is a store that counts as do says, and keeps tasks until they are ended.
type tallying struct {
	Store
	do    func(Change) (Answer, error)
	ended atomic.Bool
}

func (c *tallying) Change(_ context.Context, q Change) (Answer, error) { return c.do(q) }

func (c *tallying) Look(context.Context, string, int64) (Round, error) { panic("nobody waits") }

func (c *tallying) Topic(string) (string, error) { panic("nobody waits") }

func (c *tallying) Patience() time.Duration { return 0 }

func (c *tallying) Renew(rs []Renewal, done func(int, Renewed)) {
	for i := range rs {
		done(i, Renewed{Kept: !c.ended.Load()})
	}
}

// TestStartTooLate has Redis count a task and answer when its time is over: others
// have counted it as abandoned by then, and what begins is another one.
func TestStartTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []Change
		store := &tallying{do: func(c Change) (Answer, error) {
			if asked = append(asked, c); len(asked) == 1 {
				time.Sleep(time.Second)
			}
			if len(asked) == 2 {
				return Missed, nil // so it says when it is asked again
			}
			return Counted, nil
		}}
		task, err := NewKeeper(store).NewSession("key").Start(t.Context(), "go", Go, time.Second, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Err(); err != nil {
			t.Error(err)
		}
		switch {
		case len(asked) != 3 || asked[2].Token != task.token:
			t.Errorf("it has asked %+v", asked)
		case asked[0].Op != asked[1].Op || asked[0].Token != asked[1].Token || asked[2].Op == asked[0].Op || asked[2].Token == asked[0].Token:
			t.Errorf("it has asked %+v", asked)
		}
		_ = task.Done()
	})
}

// TestTaskIsLost tells of a task that Redis has ended, before its window is over,
// and of one whose window is over.
func TestTaskIsLost(t *testing.T) {
	for what, change := range map[string]func(*tallying, *Task){
		"renewal refused": func(c *tallying, _ *Task) { c.ended.Store(true) },
		"machine asleep": func(_ *tallying, t *Task) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.trust.wall -= int64(time.Minute)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &tallying{do: func(Change) (Answer, error) { return Counted, nil }}
			task, err := NewKeeper(store).NewSession("key").Start(t.Context(), "go", Go, 3*time.Second, "")
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
			if context.Cause(ctx) != ErrLost || task.Err() != ErrLost {
				t.Errorf("%s: %v, %v", what, context.Cause(ctx), task.Err())
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: told after %v", what, took)
			}
			_ = task.Done()
		})
	}
}

// TestSessionLow declares nothing over that is under way, and nothing under way that
// is over.
func TestSessionLow(t *testing.T) {
	var low []int64
	store := &tallying{do: func(c Change) (Answer, error) { low = append(low, c.Low); return Counted, nil }}
	s := NewKeeper(store).NewSession("key")
	one, two := s.begin(Change{What: Add, Delta: 1}), s.begin(Change{What: Add, Delta: 1})
	s.end(two.Op)
	for range 2 {
		if _, err := s.Change(t.Context(), "add", Change{What: Add, Delta: 1}); err != nil {
			t.Error(err)
		}
	}
	s.end(one.Op)
	if _, err := s.Change(t.Context(), "add", Change{What: Add, Delta: 1}); err != nil {
		t.Error(err)
	}
	if want := []int64{0, 0, 4}; len(low) != 3 || low[0] != want[0] || low[1] != want[1] || low[2] != want[2] {
		t.Errorf("low is %v, want %v", low, want)
	}
}

// TestChangeUndone undoes what ctx has overtaken, under its own number, and declares
// it over then and not before.
func TestChangeUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []Change
		store := &tallying{do: func(c Change) (Answer, error) {
			mu.Lock()
			asked = append(asked, c)
			first := len(asked) == 1
			mu.Unlock()
			if first {
				time.Sleep(time.Minute)
			}
			return Counted, nil
		}}
		s := NewKeeper(store).NewSession("key")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Change(ctx, "add", Change{What: Add, Delta: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(asked) != 2 || asked[1].What != Undo || asked[1].Op != asked[0].Op || asked[1].Low != 0 || s.low != 1 {
			t.Errorf("it has asked %+v, and low is %d", asked, s.low)
		}
		time.Sleep(time.Minute)
	})
}
