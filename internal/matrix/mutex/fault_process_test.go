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

// expectFenceAbove checks that the fence of a lease is above a worker's fence.
func expectFenceAbove(t *testing.T, l kit.Hold, fence int64) {
	t.Helper()
	if l.Fence() <= fence {
		t.Errorf("fence %d after %d", l.Fence(), fence)
	}
}

// TestFaultHolderStops stops a holder for longer than its TTL (row 25). When it continues, the first call
// of Err reports the loss, before a timer can run, because its only thread is busy.
func TestFaultHolderStops(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "locker", ttl, "GOMAXPROCS=1")
	fence := w.ExpectHeld()
	next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
	w.Send("spin")
	w.Expect("spinning")
	w.Pause()
	n := receive(t, "to acquire the stopped holder's lock", next, ttl)
	expectFenceAbove(t, n, fence)
	expectKept(t, n, ttl)
	token := owner(t, s)
	w.Continue()
	if got := w.Expect("first"); got != "lost" {
		t.Errorf("the first Err was %s", got)
	}
	w.Request("release", "released", "lost")
	if got := owner(t, s); got != token {
		t.Errorf("the owner was %v and is %v", token, got)
	}
	expectKept(t, n, ttl)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultHolderDies kills a holder (row 26).
func TestFaultHolderDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond // ends between two polls
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "locker", ttl)
	fence := w.ExpectHeld()
	next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
	w.Kill()
	n := receive(t, "to acquire the dead holder's lock", next, ttl)
	expectFenceAbove(t, n, fence)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultWaiterDies kills the waiter at the head of the queue (rows 27 and 28). If the lock is handed to
// the dead or stopped waiter, the next waiter waits for the TTL of a hand-over. If its entry has
// expired, the hand-over skips it.
func TestFaultWaiterDies(t *testing.T) {
	t.Parallel()
	const short = 800 * time.Millisecond // also the TTL of a hand-over
	type death struct {
		ttl, before, bound time.Duration
		handed             bool
	}
	runTogether(t, map[string]death{
		"Soon":        {short, 0, max(short, poll), false},
		"LongDead":    {time.Minute, lease.WaiterTTL, 0, false},
		"WhileHanded": {time.Minute, 0, 3 * poll, true},
	}, func(t *testing.T, d death) {
		s := redistest.Start(t)
		l := lock(t, mutexOf(s.Client(t), ample))
		w := kit.Spawn(t, s, "locker", d.ttl)
		awaitQueue(t, s, 1)
		next := enqueue(t, s, mutexOf(s.Client(t), ample), 2)
		if d.handed {
			w.Pause()
			unlock(t, l)
			w.Kill()
		} else {
			w.Kill()
			expectExcluded(t, next, d.before)
			unlock(t, l)
		}
		unlock(t, receive(t, "to acquire the dead waiter's lock", next, d.bound))
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultWaiterStopsWhileHanded stops a waiter and hands it the lock (row 29). The waiter continues when
// the grant has expired and another process has the lock. It then reads the message, and ignores it.
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
	l = lockWithin(t, "to acquire the stopped waiter's lock", m, max(ttl, poll))
	w.Continue()
	kit.ExpectNone(t, "the worker", w.Lines(), ttl)
	if l.Err() != nil {
		t.Errorf("the hold ended: %v", l.Err())
	}
	unlock(t, l)
	start := time.Now()
	if fence := w.ExpectHeld(); fence <= l.Fence() {
		t.Errorf("fence %d after %d", fence, l.Fence())
	}
	checkBound(t, "the hand-over to the waiter that was stopped", start, poll)
	w.Request("release", "released", "nil")
	expectNothingLeft(t, s, 0)
}
