package mutex_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func init() {
	workers["reader"] = func() {
		rdb, ttl := kit.FromEnv()
		l, err := rwOf(rdb, ttl).RLockContext(context.Background())
		must(err)
		kit.Serve(l, l.Unlock, ttl)
	}
}

// TestReadersMissTheNoticeOfAWriter drops the message that tells readers of a writer (row 41). Their
// next renewal finds out, and so does their next subscription.
func TestReadersMissTheNoticeOfAWriter(t *testing.T) {
	t.Parallel()
	together(t, map[string]struct {
		ttl        time.Duration
		subscribes bool
	}{"Renewal": {4 * time.Second, false}, "Subscription": {time.Minute, true}}, func(t *testing.T, r struct {
		ttl        time.Duration
		subscribes bool
	}) {
		s, p := kit.Proxied(t)
		a := rwOf(p.Client(t), r.ttl)
		first := rlock(t, a)
		keeps(t, first, 30*time.Millisecond) // more than a time slice
		unlock(t, rlock(t, a))               // makes sure that it hears
		redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the readers listen")
		p.DropMessages(1)
		start, bound := time.Now(), r.ttl/3+poll
		next := queued(t, s, rwOf(s.Client(t), r.ttl), 1)
		redistest.Eventually(t, poll, func() bool { return p.Faults().MessagesDropped == 1 }, "the notice is dropped")
		if r.subscribes {
			bound = poll
			if p.DropSubscribers() != 1 {
				t.Error("no subscription was dropped")
			}
		}
		redistest.Eventually(t, bound, func() bool {
			joined := a.TryRLock()
			if joined {
				a.RUnlock()
			}
			return !joined
		}, "no reader can join")
		bounded(t, "to keep new readers out", start, bound)
		unlock(t, first)
		unlock(t, receive(t, "the writer", next, 0))
		rests(t, s, poll)
	})
}

// TestReadersDie kills a reader with a short TTL, and one with a long TTL, beside one that lives
// (row 26). That one is not touched. A writer waits for it, and for the longer of the TTLs.
func TestReadersDie(t *testing.T) {
	t.Parallel()
	const short, long = 500 * time.Millisecond, 2 * time.Second
	s := redistest.Start(t)
	a, b := kit.Spawn(t, s, "reader", short), kit.Spawn(t, s, "reader", long)
	a.Held()
	b.Held()
	alive := rlock(t, rwOf(s.Client(t), ample))
	next := queued(t, s, rwOf(s.Client(t), ample), 1)
	a.Kill()
	b.Kill()
	redistest.Eventually(t, short+poll+slack, func() bool { return s.Do(t, "HLEN", "key") == int64(2+1) }, "the short one's share has ended")
	keeps(t, alive, short)
	excludes(t, next, 0)
	unlock(t, alive)
	unlock(t, receive(t, "to wait for the longer TTL", next, long+poll))
	rests(t, s, 0)
}
