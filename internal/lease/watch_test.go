package lease

import (
	"context"
	"errors"
	"testing"
	"time"
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

// TestWaitWhileRedialing waits for a group while the subscription cannot be changed,
// because it redials: the wait ends by a look, and nothing of an earlier wait is in the way.
func TestWaitWhileRedialing(t *testing.T) {
	for name, in := range map[string]bool{"to hear the group": true, "not to hear it any more": false} {
		inBubble(t, func(b *bench) {
			g := newFakeGroup(b.redis, "key")
			mine, other := &roundStore{fakeStore: newFakeStore(b.redis), group: g, name: "A"}, &roundStore{fakeStore: newFakeStore(b.redis), group: g, name: "B"}
			s, elsewhere := NewKeeper(redialing{mine, in}).NewSession("key"), NewKeeper(other).NewSession("key")
			add := func(n int64) {
				if _, err := elsewhere.Change(b.Context(), "add", Change{What: Add, Delta: n}); err != nil {
					b.Error(err)
				}
			}
			for range 3 {
				add(1)
				var over time.Time
				time.AfterFunc(time.Second, func() { over = time.Now(); add(-1) })
				if err := s.Wait(b.Context(), "wait for"); err != nil {
					b.Error(err)
				}
				b.within(name+": the end is known", over, PollBound+ms)
				time.Sleep(PollBound + 2*linger) // the watch has been closed, or is to be
			}
		})
	}
}

// redialing is a store whose subscription cannot be changed for half a minute, to hear
// more or less.
type redialing struct {
	*roundStore
	in bool
}

func (s redialing) Listen(ctx context.Context, l Listener) {
	s.roundStore.Listen(ctx, redialingListener{l, s.in})
}

type redialingListener struct {
	Listener
	in bool
}

func (l redialingListener) Channels(t Tuner) []string {
	return l.Listener.Channels(redialingTuner{t, l.in})
}

type redialingTuner struct {
	Tuner
	in bool
}

func (t redialingTuner) Tune(ctx context.Context, channel string, in bool) error {
	if in == t.in {
		select {
		case <-time.After(30 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return t.Tuner.Tune(ctx, channel, in)
}
