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
		if delta != 0 {
			_, err := s.Update(e.Context(), "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: delta})
			e.checkError("Update", err)
		}
	}
}

// TestWaitThenChange waits with a channel, and then changes the group, which starts another
// generation. Its polls or the replies to the changes are slow, or a reply is lost. The wait is for
// the generation at its start. Slow polls must not delay the changes.
func TestWaitThenChange(t *testing.T) {
	for name, c := range map[string]struct {
		before  int64
		changes []int64
	}{
		"one task":           {1, []int64{-1, 1}},
		"no task":            {0, []int64{1}},
		"several tasks":      {3, []int64{-2, -1, 4}},
		"another task stays": {2, []int64{-1, 1}},
	} {
		for _, lost := range []int{0, 1, 2, -1} { // the reply that is lost; -1: none, and replies are slow
			inBubble(t, func(e *env) {
				_, s := e.process()
				session, replies := s.session(), 0
				add, sum := e.add(session), c.before
				add(1)
				add(c.before - 1)
				s.point = func(what string) fault {
					switch {
					case what == "send status" && lost >= 0, what == "run update" && lost < 0:
						time.Sleep(time.Second / 2)
					case what == "send status": // Redis executes the poll between a change and its reply
						time.Sleep(time.Millisecond)
					case what == "run update":
						if replies++; replies == lost {
							return cut
						}
					}
					return fine
				}
				results, start := result.NewChan(result.ErrorOnly{}), time.Now()
				session.WaitChan(e.Context(), "wait for", results)
				for _, n := range c.changes {
					add(n)
					sum += n
				}
				if lost >= 0 {
					e.checkWithin(name+": the changes", start, 100*ms)
				}
				if name == "another task stays" {
					e.checkWaits(name, results.C())
					add(-sum)
					sum = 0
				}
				e.checkGranted(name, results.C(), time.Second+ms)
				add(-sum)
			})
		}
	}
}

// waitFor waits for a group that another process ends after so long. It checks that the wait ends soon
// after that.
func (e *env) waitFor(what string, session *taskgroup.Session, add func(delta int64), after, bound time.Duration) {
	e.Helper()
	add(1)
	var over time.Time
	time.AfterFunc(after, func() { over = time.Now(); add(-1) })
	e.checkError("Wait", session.Wait(e.Context(), "wait for"))
	e.checkWithin(what, over, bound)
}

// TestWaitWhileRedialing waits for a group while the subscription redials and cannot be changed. The
// wait ends by a poll, also after earlier waits.
func TestWaitWhileRedialing(t *testing.T) {
	inBubbles(t, map[string]bool{"subscribing": true, "unsubscribing": false}, func(e *env, in bool) {
		_, s, _, other := e.twoProcesses()
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
			e.waitFor("the end of the wait", session, add, time.Second, MaxPollInterval+ms)
			time.Sleep(MaxPollInterval + 2*client.SubscriptionIdle) // until the watcher has closed
		}
	})
}

// TestWaitAndOldMaster does for generations what TestSubscriptionToOldMaster does for locks.
func TestWaitAndOldMaster(t *testing.T) {
	inBubble(t, func(e *env) {
		_, s, _, other := e.twoProcesses()
		s.subscribeToAnother(1)
		session, add := s.session(), e.add(other.session())
		for i := range 2 * client.MinMissedLimit {
			bound := ms
			if i < client.MinMissedLimit {
				bound += MaxPollInterval
			}
			e.waitFor(fmt.Sprint("the end of wait ", i), session, add, 5*MaxPollInterval/2, bound)
		}
	})
}
