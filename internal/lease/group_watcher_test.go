package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
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
		if !errors.Is(x.err, ErrTaskLost) {
			t.Errorf("%+v: over %v, %v", r, x.done, x.err)
		}
	}
}

// TestLookBeforeBind binds a wait to the generation that a change has found, while a look is
// under way which does not ask what became of that one: the next look tells.
func TestLookBeforeBind(t *testing.T) {
	w := &groupWatcher{wakeup: make(chan struct{}, 1)}
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

// TestWaitThenChange waits in a channel, and then makes changes that end the generation and
// begin another, while its own looks are slow, or the replies to the changes: it waits for
// the generation that went on when it began, or for none, and slow looks hold no change back.
// Replies may get lost.
func TestWaitThenChange(t *testing.T) {
	for name, c := range map[string]struct {
		before  int64
		changes []int64
	}{
		"a round goes on":  {1, []int64{-1, 1}},
		"nothing goes on":  {0, []int64{1}},
		"several go on":    {3, []int64{-2, -1, 4}},
		"it goes on still": {2, []int64{-1, 1}},
	} {
		for _, lost := range []int{0, 1, 2, -1} { // which of the replies; -1: none, and they are slow
			inBubble(t, func(e *env) {
				g := newFakeGroup(e.redis, "key")
				mine := &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "A"}
				slow := &slowRounds{groupStore: mine, look: time.Second / 2}
				m := NewManager(slow)
				s, replies := newSession(m, "key"), 0
				add := func(n int64) {
					if _, err := s.Update(e.Context(), "add", Operation{Op: OpAdd, Delta: n}); err != nil {
						e.Error(err)
					}
				}
				if add(1); c.before != 1 {
					add(c.before - 1)
				}
				mine.point = func(what string) fault {
					if what == "reply change" {
						if replies++; replies == lost {
							return cut
						}
					}
					return fine
				}
				box, start := result.NewChan(result.ErrorOnly{}), time.Now()
				if lost < 0 {
					slow.look, slow.change = ms, time.Second/2 // Redis changes it first
				}
				s.WaitChan(e.Context(), "wait for", box)
				for _, n := range c.changes {
					add(n)
				}
				if lost >= 0 {
					e.within(name+": the changes are made", start, 100*ms)
				}
				sum := c.before
				for _, n := range c.changes {
					sum += n
				}
				if name == "it goes on still" {
					e.waits(name, box.C())
					add(-sum)
					sum = 0
				}
				e.gets(name, box.C(), time.Second+ms)
				if sum > 0 {
					add(-sum)
				}
			})
		}
	}
}

// slowRounds is a store whose looks take that long to Redis, and the replies to changes
// that long from there.
type slowRounds struct {
	*groupStore
	look, change time.Duration
}

func (s *slowRounds) GroupStatus(ctx context.Context, key string, from int64) (Generation, error) {
	time.Sleep(s.look)
	return s.groupStore.GroupStatus(ctx, key, from)
}

func (s *slowRounds) UpdateGroup(ctx context.Context, c Operation) (UpdateReply, error) {
	defer time.Sleep(s.change)
	return s.groupStore.UpdateGroup(ctx, c)
}

// TestWaitWhileRedialing waits for a group while the subscription cannot be changed,
// because it redials: the wait ends by a look, and nothing of an earlier wait is in the way.
func TestWaitWhileRedialing(t *testing.T) {
	for name, in := range map[string]bool{"to hear the group": true, "not to hear it any more": false} {
		inBubble(t, func(e *env) {
			g := newFakeGroup(e.redis, "key")
			mine, other := &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "A"}, &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "B"}
			s, elsewhere := newSession(NewManager(redialing{mine, in}), "key"), newSession(NewManager(other), "key")
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

// TestWaitAndOldMaster does for generations what TestSubscriptionToOldMaster does for locks.
func TestWaitAndOldMaster(t *testing.T) {
	inBubble(t, func(e *env) {
		g := newFakeGroup(e.redis, "key")
		mine, other := &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "A"}, &groupStore{fakeStore: newFakeStore(e.redis), group: g, name: "B"}
		split := &splitRounds{groupStore: mine, split: splitBrain{mine.fakeStore, newFakeStore(newFakeRedis()), 1}}
		s, elsewhere := newSession(NewManager(split), "key"), newSession(NewManager(other), "key")
		add := func(n int64) {
			if _, err := elsewhere.Update(e.Context(), "add", Operation{Op: OpAdd, Delta: n}); err != nil {
				e.Error(err)
			}
		}
		for i := range 2 * minMissedLimit {
			add(1)
			var over time.Time
			time.AfterFunc(5*MaxPollInterval/2, func() { over = time.Now(); add(-1) })
			if err := s.Wait(e.Context(), "wait for"); err != nil {
				e.Error(err)
			}
			bound := ms
			if i < minMissedLimit {
				bound += MaxPollInterval
			}
			e.within(fmt.Sprint("the end of round ", i), over, bound)
		}
	})
}

type splitRounds struct {
	*groupStore
	split splitBrain
}

func (s *splitRounds) Subscribe(ctx context.Context, l MessageHandler) { s.split.Subscribe(ctx, l) }

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
