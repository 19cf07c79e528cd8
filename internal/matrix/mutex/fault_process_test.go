package mutex_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func init() {
	workers["locker"] = func() {
		rdb, ttl := kit.FromEnv()
		l, err := mutexOf(rdb, ttl).LockContext(context.Background())
		must(err)
		kit.Serve(l, l.Unlock, ttl)
	}
}

// follows checks that a lease has a larger fence than a worker's.
func follows(t *testing.T, l kit.Hold, fence int64) {
	t.Helper()
	if l.Fence() <= fence {
		t.Errorf("fence %d after %d", l.Fence(), fence)
	}
}

// TestFaultHolderStops stops a holder for longer than its TTL (row 25). When it goes on, the first
// thing that it asks its lease tells of the loss, before any timer had a chance: it runs on one
// thread, which does not let go.
func TestFaultHolderStops(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "locker", ttl, "GOMAXPROCS=1")
	fence := w.Held()
	next := queued(t, s, mutexOf(s.Client(t), ample), 1)
	w.Send("spin")
	w.Says("spinning")
	w.Pause()
	n := receive(t, "to wait for the end of the hold", next, ttl)
	follows(t, n, fence)
	keeps(t, n, ttl)
	token := owner(t, s)
	w.Continue()
	if got := w.Says("first"); got != "lost" {
		t.Errorf("the first Err was %s", got)
	}
	w.Asked("release", "released", "lost")
	if got := owner(t, s); got != token {
		t.Errorf("the owner was %v and is %v", token, got)
	}
	keeps(t, n, ttl)
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultHolderDies kills a holder (row 26).
func TestFaultHolderDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond // which lies between two polls
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "locker", ttl)
	fence := w.Held()
	next := queued(t, s, mutexOf(s.Client(t), ample), 1)
	w.Kill()
	n := receive(t, "to wait for the dead holder", next, ttl)
	follows(t, n, fence)
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultWaiterDies kills a waiter at the head of the queue (rows 27 and 28). Handed the lock soon
// after, or while it stands still, it costs the next what a hand-over grants. When its entry has run
// out it is passed over, and the next, who is alive, has not.
func TestFaultWaiterDies(t *testing.T) {
	t.Parallel()
	const short = 800 * time.Millisecond // which is also what a hand-over grants
	type death struct {
		ttl, before, bound time.Duration
		handed             bool
	}
	together(t, map[string]death{
		"Soon":        {short, 0, max(short, poll), false},
		"LongDead":    {time.Minute, lease.WaiterTTL, 0, false},
		"WhileHanded": {time.Minute, 0, 3 * poll, true},
	}, func(t *testing.T, d death) {
		s := redistest.Start(t)
		l := lock(t, mutexOf(s.Client(t), ample))
		w := kit.Spawn(t, s, "locker", d.ttl)
		awaitQueue(t, s, 1)
		next := queued(t, s, mutexOf(s.Client(t), ample), 2)
		if d.handed {
			w.Pause()
			unlock(t, l)
			w.Kill()
		} else {
			w.Kill()
			excludes(t, next, d.before)
			unlock(t, l)
		}
		unlock(t, receive(t, "to wait for the dead", next, d.bound))
		rests(t, s, 0)
	})
}

// TestFaultWaiterStopsWhileHanded stops a waiter, hands it the lock and lets it go on when that has
// run out and another has it (row 29): the message is waiting for it, and it does not believe it.
func TestFaultWaiterStopsWhileHanded(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), ample)
	l := lock(t, m)
	w := kit.Spawn(t, s, "locker", ttl)
	awaitQueue(t, s, 1)
	w.Pause()
	before := s.Stats(t)
	unlock(t, l)
	if n := s.Stats(t).Since(before).Published(); n != 1 {
		t.Fatalf("%d messages were published", n)
	}
	l = lockWithin(t, "to wait for the waiter that stands still", m, max(ttl, poll))
	w.Continue()
	kit.Silent(t, "the worker", w.Lines(), ttl)
	if l.Err() != nil {
		t.Errorf("the hold ended: %v", l.Err())
	}
	unlock(t, l)
	start := time.Now()
	if fence := w.Held(); fence <= l.Fence() {
		t.Errorf("fence %d after %d", fence, l.Fence())
	}
	bounded(t, "the hand-over to who stood still", start, poll)
	w.Asked("release", "released", "nil")
	rests(t, s, 0)
}
