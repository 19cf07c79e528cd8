package taskgroup

import (
	"errors"
	"testing"
)

// newWait returns a watcher with one waiter.
func newWait(t *testing.T) (*watcher, *waiter) {
	t.Helper()
	w := &watcher{wakeup: make(chan struct{}, 1)}
	return w, addWait(t, w)
}

func addWait(t *testing.T, w *watcher) *waiter {
	t.Helper()
	x := &waiter{opName: "wait", ready: make(chan struct{})}
	if !w.add(x) {
		t.Fatal("the watcher is closed")
	}
	<-w.wakeup
	return x
}

// newBoundWait returns a watcher with one waiter, which poll has bound to generation 5.
func newBoundWait(t *testing.T) (w *watcher, x *waiter, poll int64) {
	t.Helper()
	w, x = newWait(t)
	poll, _, _ = w.beginPoll()
	w.handlePoll(poll, Generation{Number: 5, Remaining: 1}, nil)
	return w, x, poll
}

// TestPollBeforeWait adds a wait while a poll is in flight. The generation that the poll returns may have
// finished before the wait, so the poll must not bind the wait.
func TestPollBeforeWait(t *testing.T) {
	w, early := newWait(t)
	first, _, _ := w.beginPoll()
	x := addWait(t, w)
	w.handlePoll(first, Generation{Number: 5}, nil)
	if !early.done || x.done || x.generation != 0 {
		t.Errorf("done %v and %v, bound to %d", early.done, x.done, x.generation)
	}
	second, _, _ := w.beginPoll()
	w.handlePoll(second, Generation{Number: 6, Remaining: 1}, nil)
	if x.done || x.generation != 6 {
		t.Errorf("done %v, bound to %d", x.done, x.generation)
	}
}

// TestMessageBeforePoll receives the message that a generation is finished before the poll that binds a
// wait to it. There is no second message, so the watcher must poll again.
func TestMessageBeforePoll(t *testing.T) {
	w, x := newWait(t)
	poll, _, _ := w.beginPoll()
	w.handleFinished(5, 0)
	w.handlePoll(poll, Generation{Number: 5, Remaining: 1}, nil)
	if len(w.wakeup) != 1 {
		t.Error("no further poll")
	}
	if x.done || x.generation != 5 {
		t.Errorf("done %v, bound to %d", x.done, x.generation)
	}
}

// TestMessageOfAnotherGeneration receives messages of other generations, which must not end the wait. After
// that of a later generation the watcher polls, as the message of this one was lost.
func TestMessageOfAnotherGeneration(t *testing.T) {
	w, x, _ := newBoundWait(t)
	for generation, polls := range map[int64]int{4: 0, 6: 1} {
		w.handleFinished(generation, 1)
		if len(w.wakeup) != polls {
			t.Errorf("%d polls after the message of %d, want %d", len(w.wakeup), generation, polls)
		}
		if w.wakeup = make(chan struct{}, 1); x.done {
			t.Fatalf("done after the message of %d", generation)
		}
	}
	w.handleFinished(5, 2)
	if got := new(AbandonedError); !errors.As(x.err, &got) || got.Tasks != 2 {
		t.Error(x.err)
	}
}

// TestGroupIsLost polls another group than the one of the wait. The result of the wait is then unknown.
func TestGroupIsLost(t *testing.T) {
	for _, r := range []Generation{{}, {Number: 4}, {Number: 9, Remaining: 1, OldestKnown: 8}, {Number: 9, OldestKnown: 8}} {
		w, x, poll := newBoundWait(t)
		w.handlePoll(poll+1, r, nil)
		if !errors.Is(x.err, ErrTaskLost) {
			t.Errorf("%+v: done %v, %v", r, x.done, x.err)
		}
	}
}

// TestPollBeforeBind binds a wait to the generation that an update has found. A poll in flight does not
// include that generation, so the next poll must end the wait.
func TestPollBeforeBind(t *testing.T) {
	w, x := newWait(t)
	poll, from, _ := w.beginPoll()
	unboundWaiters{w, 0, w.lastNumber}.bind(5)
	w.handlePoll(poll, Generation{Number: 6, Remaining: 1}, nil)
	if x.done || from != 0 || len(w.wakeup) != 1 {
		t.Fatalf("done %v after a poll from %d, %d further polls", x.done, from, len(w.wakeup))
	}
	poll, from, _ = w.beginPoll()
	w.handlePoll(poll, Generation{Number: 6, Remaining: 1, Abandoned: map[int64]int64{5: 2}}, nil)
	if got := new(AbandonedError); from != 5 || !errors.As(x.err, &got) || got.Tasks != 2 {
		t.Errorf("after a poll from %d: %v", from, x.err)
	}
}
