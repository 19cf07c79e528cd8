package lease

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

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
				s, replies := newSession(slow), 0
				add := func(n int64) {
					if _, err := s.Update(e.Context(), "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: n}); err != nil {
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

func (s *slowRounds) GroupStatus(ctx context.Context, key string, from int64) (taskgroup.Generation, error) {
	time.Sleep(s.look)
	return s.groupStore.GroupStatus(ctx, key, from)
}

func (s *slowRounds) UpdateGroup(ctx context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
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
			s, elsewhere := newSession(redialing{mine, in}), newSession(other)
			add := func(n int64) {
				if _, err := elsewhere.Update(e.Context(), "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: n}); err != nil {
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
				time.Sleep(MaxPollInterval + 2*client.SubscriptionIdle) // the watch has been closed, or is to be
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
		s, elsewhere := newSession(split), newSession(other)
		add := func(n int64) {
			if _, err := elsewhere.Update(e.Context(), "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: n}); err != nil {
				e.Error(err)
			}
		}
		for i := range 2 * client.MinMissedLimit {
			add(1)
			var over time.Time
			time.AfterFunc(5*MaxPollInterval/2, func() { over = time.Now(); add(-1) })
			if err := s.Wait(e.Context(), "wait for"); err != nil {
				e.Error(err)
			}
			bound := ms
			if i < client.MinMissedLimit {
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

func (s *splitRounds) Subscribe(ctx context.Context, l client.MessageHandler) {
	s.split.Subscribe(ctx, l)
}

// redialing is a store whose subscription cannot be changed for half a minute, to hear
// more or less.
type redialing struct {
	*groupStore
	in bool
}

func (s redialing) Subscribe(ctx context.Context, l client.MessageHandler) {
	s.groupStore.Subscribe(ctx, redialingListener{l, s.in})
}

type redialingListener struct {
	client.MessageHandler
	in bool
}

func (l redialingListener) Channels(t client.Subscriber) []string {
	return l.MessageHandler.Channels(redialingTuner{t, l.in})
}

type redialingTuner struct {
	client.Subscriber
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
