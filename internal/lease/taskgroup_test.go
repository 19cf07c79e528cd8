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

// add returns a function that adds to the group.
func (e *env) add(s *taskgroup.Session) func(delta int64) {
	return func(delta int64) {
		e.Helper()
		if delta == 0 {
			return
		}
		if _, err := s.Update(e.Context(), "add", addOp(delta)); err != nil {
			e.Error(err)
		}
	}
}

// TestWaitThenChange waits in a channel, and then makes changes that end the generation and
// begin another, while its own polls are slow, or the replies to the changes. It waits for
// the generation that went on when it began, or for none. Slow polls delay no change.
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
				_, s := e.process()
				session, replies := s.session(), 0
				add, sum := e.add(session), c.before
				add(1)
				add(c.before - 1)
				s.point = func(what string) fault {
					switch {
					case what == "send look" && lost >= 0, what == "reply change" && lost < 0:
						time.Sleep(time.Second / 2)
					case what == "reply change":
						if replies++; replies == lost {
							return cut
						}
					}
					return fine
				}
				box, start := result.NewChan(result.ErrorOnly{}), time.Now()
				session.WaitChan(e.Context(), "wait for", box)
				for _, n := range c.changes {
					add(n)
					sum += n
				}
				if lost >= 0 {
					e.within(name+": the changes are made", start, 100*ms)
				}
				if name == "it goes on still" {
					e.waits(name, box.C())
					add(-sum)
					sum = 0
				}
				e.gets(name, box.C(), time.Second+ms)
				add(-sum)
			})
		}
	}
}

// TestWaitWhileRedialing waits for a group while the subscription cannot be changed,
// because it redials. The wait ends by a poll, and nothing of an earlier wait is in the way.
func TestWaitWhileRedialing(t *testing.T) {
	for name, in := range map[string]bool{"to hear the group": true, "not to hear it any more": false} {
		inBubble(t, func(e *env) {
			_, s := e.process()
			_, other := e.process()
			s.redial = func(ctx context.Context, more bool) {
				if more == in {
					select {
					case <-time.After(30 * time.Second):
					case <-ctx.Done():
					}
				}
			}
			session, add := s.session(), e.add(other.session())
			for range 3 {
				add(1)
				var over time.Time
				time.AfterFunc(time.Second, func() { over = time.Now(); add(-1) })
				if err := session.Wait(e.Context(), "wait for"); err != nil {
					e.Error(err)
				}
				e.within(name+": the end is known", over, MaxPollInterval+ms)
				time.Sleep(MaxPollInterval + 2*client.SubscriptionIdle) // the watcher closes meanwhile
			}
		})
	}
}

// TestWaitAndOldMaster does for generations what TestSubscriptionToOldMaster does for locks.
func TestWaitAndOldMaster(t *testing.T) {
	inBubble(t, func(e *env) {
		_, s := e.process()
		_, other := e.process()
		s.subscribeToAnother(1)
		session, add := s.session(), e.add(other.session())
		for i := range 2 * client.MinMissedLimit {
			add(1)
			var over time.Time
			time.AfterFunc(5*MaxPollInterval/2, func() { over = time.Now(); add(-1) })
			if err := session.Wait(e.Context(), "wait for"); err != nil {
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
