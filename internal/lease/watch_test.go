package lease

import (
	"errors"
	"testing"
)

// newWait returns one who waits, and the watch that has taken it in.
func newWait(t *testing.T, w *watch) *Wait {
	t.Helper()
	x := &Wait{op: "wait", ready: make(chan struct{})}
	if !w.admit(x) {
		t.Fatal("the watch has gone")
	}
	<-w.nudge
	return x
}

// TestLookBeforeWait has a look that was sent before a wait began answer after that:
// the round which it saw may be over since, and another one have begun.
func TestLookBeforeWait(t *testing.T) {
	w := &watch{nudge: make(chan struct{}, 1)}
	early := newWait(t, w)
	first, _, _ := w.begin()
	x := newWait(t, w)
	w.answer(first, Round{Number: 5}, nil)
	if !early.over || x.over || x.round != 0 {
		t.Errorf("over %v and %v, bound to %d", early.over, x.over, x.round)
	}
	second, _, _ := w.begin()
	w.answer(second, Round{Number: 6, Left: 1}, nil)
	if x.over || x.round != 6 {
		t.Errorf("over %v, bound to %d", x.over, x.round)
	}
}

// TestMessageBeforeLook has the message that a round is over come before the look
// that binds a wait to that round: nobody will tell again, so it has to look.
func TestMessageBeforeLook(t *testing.T) {
	w := &watch{nudge: make(chan struct{}, 1)}
	x := newWait(t, w)
	look, _, _ := w.begin()
	w.over(5, 0)
	w.answer(look, Round{Number: 5, Left: 1}, nil)
	select {
	case <-w.nudge:
	default:
		t.Error("it does not look again")
	}
	if x.over || x.round != 5 {
		t.Errorf("over %v, bound to %d", x.over, x.round)
	}
}

// TestMessageOfAnotherRound ends the wait for no other round. That a later one is
// over says that the message of this one was lost.
func TestMessageOfAnotherRound(t *testing.T) {
	w := &watch{nudge: make(chan struct{}, 1)}
	x := newWait(t, w)
	look, _, _ := w.begin()
	w.answer(look, Round{Number: 5, Left: 1}, nil)
	for round, asks := range map[int64]int{4: 0, 6: 1} {
		w.over(round, 1)
		if len(w.nudge) != asks {
			t.Errorf("it looks %d times after that of %d, want %d", len(w.nudge), round, asks)
		}
		if w.nudge = make(chan struct{}, 1); x.over {
			t.Fatalf("over by the message of %d", round)
		}
	}
	w.over(5, 2)
	if got := new(AbandonedError); !errors.As(x.err, &got) || got.Tasks != 2 {
		t.Error(x.err)
	}
}

// TestGroupIsLost finds another group where the round was that is waited for: what
// became of that nobody knows.
func TestGroupIsLost(t *testing.T) {
	for _, r := range []Round{{}, {Number: 4}, {Number: 9, Left: 1, Since: 8}, {Number: 9, Since: 8}} {
		w := &watch{nudge: make(chan struct{}, 1)}
		x := newWait(t, w)
		look, _, _ := w.begin()
		w.answer(look, Round{Number: 5, Left: 1}, nil)
		w.answer(look+1, r, nil)
		if !errors.Is(x.err, ErrLost) {
			t.Errorf("%+v: over %v, %v", r, x.over, x.err)
		}
	}
}
