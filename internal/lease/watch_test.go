package lease

import (
	"context"
	"errors"
	"testing"
	"time"
)

// newWait returns one who waits, and the watch that has taken it in.
func newWait(t *testing.T, w *groupWatcher) *groupWaiter {
	t.Helper()
	x := &groupWaiter{opName: "wait", ready: make(chan struct{})}
	if !w.add(x) {
		t.Fatal("the watch has gone")
	}
	<-w.wakeup
	return x
}

// TestPollBeforeWait has a look that was sent before a wait began answer after that:
// the generation which it saw may be over since, and another one have begun.
func TestPollBeforeWait(t *testing.T) {
	w := &groupWatcher{wakeup: make(chan struct{}, 1)}
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
	w := &groupWatcher{wakeup: make(chan struct{}, 1)}
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
	w := &groupWatcher{wakeup: make(chan struct{}, 1)}
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
		w := &groupWatcher{wakeup: make(chan struct{}, 1)}
		x := newWait(t, w)
		look, _, _ := w.beginPoll()
		w.handlePoll(look, Generation{Number: 5, Remaining: 1}, nil)
		w.handlePoll(look+1, r, nil)
		if !errors.Is(x.err, ErrLost) {
			t.Errorf("%+v: over %v, %v", r, x.done, x.err)
		}
	}
}

// TestWaitWhileRedialing waits for a group while the subscription cannot be changed,
// because it redials: the wait ends by a look, and nothing of an earlier wait is in the way.
func TestWaitWhileRedialing(t *testing.T) {
	for name, in := range map[string]bool{"to hear the group": true, "not to hear it any more": false} {
		inBubble(t, func(e *env) {
			g := newFakeGroup(e.redis, "key")
			mine, other := &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "A"}, &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "B"}
			s, elsewhere := NewManager(redialing{mine, in}).NewSession("key"), NewManager(other).NewSession("key")
			add := func(n int64) {
				if _, err := elsewhere.Update(e.Context(), "add", Operation{Op: OpAdd, Delta: n}); err != nil {
					e.Error(err)
				}
			}
			for range 3 {
				add(1)
				var over time.Time
				time.AfterFunc(time.Second, func() { over = time.Now(); add(-1) })
				if err := s.Wait(e.Context(), "wait for"); err != nil {
					e.Error(err)
				}
				e.within(name+": the end is known", over, MaxPollInterval+ms)
				time.Sleep(MaxPollInterval + 2*subscriptionIdle) // the watch has been closed, or is to be
			}
		})
	}
}

// redialing is a store whose subscription cannot be changed for half a minute, to hear
// more or less.
type redialing struct {
	*groupStore
	in bool
}

func (s redialing) Subscribe(ctx context.Context, l MessageHandler) {
	s.groupStore.Subscribe(ctx, redialingListener{l, s.in})
}

type redialingListener struct {
	MessageHandler
	in bool
}

func (l redialingListener) Channels(t Subscriber) []string {
	return l.MessageHandler.Channels(redialingTuner{t, l.in})
}

type redialingTuner struct {
	Subscriber
	in bool
}

func (t redialingTuner) SetChannel(ctx context.Context, channel string, in bool) error {
	if in == t.in {
		select {
		case <-time.After(30 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return t.Subscriber.SetChannel(ctx, channel, in)
}
