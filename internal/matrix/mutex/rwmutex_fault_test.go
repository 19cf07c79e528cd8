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

// TestReadersMissTheNoticeOfAWriter drops the notice of a waiting writer to the readers (row 41). Their next
// renewal or their next subscription detects the writer.
func TestReadersMissTheNoticeOfAWriter(t *testing.T) {
	t.Parallel()
	runTogether(t, map[string]struct {
		ttl        time.Duration
		subscribes bool
	}{"Renewal": {4 * time.Second, false}, "Subscription": {time.Minute, true}}, func(t *testing.T, r struct {
		ttl        time.Duration
		subscribes bool
	}) {
		s, p := kit.StartWithProxy(t)
		a := rwOf(p.Client(t), r.ttl)
		first := rlock(t, a)
		expectKept(t, first, 30*time.Millisecond) // more than a time slice
		unlock(t, rlock(t, a))                    // ensures a subscription
		redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the readers are subscribed")
		p.DropMessages(1)
		start, bound := time.Now(), r.ttl/3+poll
		next := enqueue(t, s, rwOf(s.Client(t), r.ttl), 1)
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
		checkBound(t, "to keep new readers out", start, bound)
		unlock(t, first)
		unlock(t, receive(t, "the writer", next, 0))
		expectNothingLeft(t, s, poll)
	})
}

// TestReadersDie kills a reader with a short TTL and one with a long TTL (row 26). A third, live reader is
// not affected. A writer waits for the live reader, and for the longer TTL.
func TestReadersDie(t *testing.T) {
	t.Parallel()
	const short, long = 500 * time.Millisecond, 2 * time.Second
	s := redistest.Start(t)
	a, b := kit.Spawn(t, s, "reader", short), kit.Spawn(t, s, "reader", long)
	a.ExpectHeld()
	b.ExpectHeld()
	alive := rlock(t, rwOf(s.Client(t), ample))
	next := enqueue(t, s, rwOf(s.Client(t), ample), 1)
	a.Kill()
	b.Kill()
	redistest.Eventually(t, short+poll+slack, func() bool { return s.Do(t, "HLEN", "key") == int64(2+1) }, "the reader with the short TTL is removed")
	expectKept(t, alive, short)
	expectExcluded(t, next, 0)
	unlock(t, alive)
	unlock(t, receive(t, "to acquire the lock after the longer TTL", next, long+poll))
	expectNothingLeft(t, s, 0)
}
