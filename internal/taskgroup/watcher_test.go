package taskgroup

import (
	"errors"
	"testing"
)

// newWait returns one who waits, and the watch that has taken it in.
func newWait(t *testing.T, w *watcher) *waiter {
	t.Helper()
	x := &waiter{opName: "wait", ready: make(chan struct{})}
	if !w.add(x) {
		t.Fatal("the watch has gone")
	}
	<-w.wakeup
	return x
}

// TestPollBeforeWait has a look that was sent before a wait began answer after that:
// the generation which it saw may be over since, and another one have begun.
func TestPollBeforeWait(t *testing.T) {
	w := &watcher{wakeup: make(chan struct{}, 1)}
	early := newWait(t, w)
	first, _, _ := w.beginPoll()
	x := newWait(t, w)
	w.handlePoll(first, Generation{Number: 5}, nil)
	if !early.done || x.done || x.generation != 0 {
		t.Errorf("over %v and %v, bound to %d", early.done, x.done, x.generation)
	}
	second, _, _ := w.beginPoll()
	w.handlePoll(second, Generation{Number: 6, Remaining: 1}, nil)
	if x.done || x.generation != 6 {
		t.Errorf("over %v, bound to %d", x.done, x.generation)
	}
}

// TestMessageBeforePoll has the message that a generation is over come before the look
// that binds a wait to that generation: nobody will tell again, so it has to look.
func TestMessageBeforePoll(t *testing.T) {
	w := &watcher{wakeup: make(chan struct{}, 1)}
	x := newWait(t, w)
	look, _, _ := w.beginPoll()
	w.handleFinished(5, 0)
	w.handlePoll(look, Generation{Number: 5, Remaining: 1}, nil)
	select {
	case <-w.wakeup:
	default:
		t.Error("it does not look again")
	}
	if x.done || x.generation != 5 {
		t.Errorf("over %v, bound to %d", x.done, x.generation)
	}
}

// TestMessageOfAnotherGeneration ends the wait for no other generation. That a later one is
// over says that the message of this one was lost.
func TestMessageOfAnotherGeneration(t *testing.T) {
	w := &watcher{wakeup: make(chan struct{}, 1)}
	x := newWait(t, w)
	look, _, _ := w.beginPoll()
	w.handlePoll(look, Generation{Number: 5, Remaining: 1}, nil)
	for round, asks := range map[int64]int{4: 0, 6: 1} {
		w.handleFinished(round, 1)
		if len(w.wakeup) != asks {
			t.Errorf("it looks %d times after that of %d, want %d", len(w.wakeup), round, asks)
		}
		if w.wakeup = make(chan struct{}, 1); x.done {
			t.Fatalf("over by the message of %d", round)
		}
	}
	w.handleFinished(5, 2)
	if got := new(AbandonedError); !errors.As(x.err, &got) || got.Tasks != 2 {
		t.Error(x.err)
	}
}

// TestGroupIsLost finds another group where the generation was that is waited for: what
// became of that nobody knows.
func TestGroupIsLost(t *testing.T) {
	for _, r := range []Generation{{}, {Number: 4}, {Number: 9, Remaining: 1, OldestKnown: 8}, {Number: 9, OldestKnown: 8}} {
		w := &watcher{wakeup: make(chan struct{}, 1)}
		x := newWait(t, w)
		look, _, _ := w.beginPoll()
		w.handlePoll(look, Generation{Number: 5, Remaining: 1}, nil)
		w.handlePoll(look+1, r, nil)
		if !errors.Is(x.err, ErrTaskLost) {
			t.Errorf("%+v: over %v, %v", r, x.done, x.err)
		}
	}
}

// TestLookBeforeBind binds a wait to the generation that a change has found, while a look is
// under way which does not ask what became of that one: the next look tells.
func TestLookBeforeBind(t *testing.T) {
	w := &watcher{wakeup: make(chan struct{}, 1)}
	x := newWait(t, w)
	look, from, _ := w.beginPoll()
	unboundWaiters{w, 0, w.lastNumber}.bind(5)
	w.handlePoll(look, Generation{Number: 6, Remaining: 1}, nil)
	if x.done || from != 0 || len(w.wakeup) != 1 {
		t.Fatalf("over %v by a look from %d; another is asked for %d times", x.done, from, len(w.wakeup))
	}
	look, from, _ = w.beginPoll()
	w.handlePoll(look, Generation{Number: 6, Remaining: 1, Abandoned: map[int64]int64{5: 2}}, nil)
	if got := new(AbandonedError); from != 5 || !errors.As(x.err, &got) || got.Tasks != 2 {
		t.Errorf("by a look from %d: %v", from, x.err)
	}
}
