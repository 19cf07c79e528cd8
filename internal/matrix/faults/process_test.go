package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultHolderStops stops a holder for longer than its TTL (row 25). When it continues, the first call
// of Err reports the loss, before a timer can run, because its only thread is busy.
func TestFaultHolderStops(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	w := spawn(t, s, "locker", ttl, "GOMAXPROCS=1")
	fence := w.expectHeld()
	next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
	w.request("spin", "spinning")
	w.Pause()
	n := grant(t, "to acquire the stopped holder's lock", next, ttl)
	expectFencesGrow(t, fence, n)
	expectKept(t, n, ttl)
	token := owner(t, s)
	w.Continue()
	w.expect("first lost")
	w.request("unlock", "unlock lost")
	expectOwner(t, s, token)
	expectKept(t, n, ttl)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultHolderDies kills a holder (row 26): of a Mutex, and a reader of an RWMutex. A live reader stays.
func TestFaultHolderDies(t *testing.T) {
	each(t, map[string]bool{"locker": false, "reader": true}, func(t *testing.T, rw bool) {
		const ttl = 1500 * time.Millisecond // ends between two polls
		s := redistest.Start(t)
		w := spawn(t, s, strings.TrimPrefix(t.Name(), "TestFaultHolderDies/"), ttl)
		fence, bound := w.expectHeld(), ttl
		var next <-chan mutex.Result
		if rw {
			alive := rlock(t, rwOf(s.Client(t), ample))
			next = enqueue(t, s, rwOf(s.Client(t), ample), 1)
			w.Kill()
			expectExcluded(t, next, ttl+poll)
			unlock(t, alive)
			bound = 0
		} else {
			next = enqueue(t, s, mutexOf(s.Client(t), ample), 1)
			w.Kill()
		}
		n := grant(t, "to acquire the dead holder's lock", next, bound)
		expectFencesGrow(t, fence, n)
		unlock(t, n)
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultWaiterDies kills the waiter at the head of the queue (rows 27 and 28). If the lock is handed to
// the dead or stopped waiter, the next waiter waits for the TTL of a hand-over. If its entry has
// expired, the hand-over skips it.
func TestFaultWaiterDies(t *testing.T) {
	const short = 800 * time.Millisecond // also the TTL of a hand-over
	type death struct {
		ttl, before, bound time.Duration
		handed             bool
	}
	each(t, map[string]death{
		"Soon":        {short, 0, max(short, poll), false},
		"LongDead":    {time.Minute, lease.WaiterTTL, 0, false},
		"WhileHanded": {time.Minute, 0, 3 * poll, true},
	}, func(t *testing.T, d death) {
		s := redistest.Start(t)
		l := lock(t, mutexOf(s.Client(t), ample))
		w := spawn(t, s, "locker", d.ttl)
		awaitQueue(t, s, "key", 1)
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
		unlock(t, grant(t, "to acquire the dead waiter's lock", next, d.bound))
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
	w := spawn(t, s, "locker", ttl)
	awaitQueue(t, s, "key", 1)
	w.Pause()
	before := s.Stats(t)
	unlock(t, l)
	expectFault(t, "a message was published", s.Stats(t).Since(before).Published(), 1)
	l = lockWithin(t, "to acquire the stopped waiter's lock", m, max(ttl, poll))
	w.Continue()
	expectNone(t, "the worker", w.Lines(), ttl)
	unlock(t, l)
	start := time.Now()
	expectFencesGrow(t, l, w.expectHeld())
	checkBound(t, "the hand-over to the waiter that was stopped", start, poll)
	w.request("unlock", "unlock <nil>")
	expectNothingLeft(t, s, 0)
}

// TestFaultBusy keeps the only processor of a holder busy, with ten thousand waiters in the process (row
// 48). Neither delays the renewals.
func TestFaultBusy(t *testing.T) {
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := spawn(t, s, "busy locker", ttl, "GOMAXPROCS=1")
	w.expectHeld()
	next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
	before := s.Stats(t)
	expectExcluded(t, next, ttl+ttl/3)
	if n := s.Stats(t).Since(before).Calls["pexpire"]; n < 2 {
		t.Errorf("%d renewals in more than a TTL", n)
	}
	w.request("err", "err <nil>")
}

// TestFaultLinger stops a process whose claim lingers (row 82). The lock was unlocked, but stays held until
// its TTL has passed. The process then waits for its next lock.
func TestFaultLinger(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := spawn(t, s, "lingerer", ttl)
	w.expect("lingers")
	w.Pause()
	if token := owner(t, s); !(lease.Holder{Owner: lease.Owner{Token: fmt.Sprint(token)}}).MayLinger() {
		t.Fatalf("the owner is %q, which cannot linger", token)
	}
	n := lockWithin(t, "to lock after the linger", mutexOf(s.Client(t), ample), ttl+poll)
	w.Continue()
	expectNone(t, "the worker", w.Lines(), ttl)
	expectKept(t, n, 0)
	unlock(t, n)
	expectFencesGrow(t, n, w.expectHeld())
	w.Kill()
}

// TestGroupProcessDies kills a process with tasks (row 26). All waits in all processes report the abandoned
// tasks.
func TestGroupProcessDies(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	wg := waitgroup.New(s.Client(t), "key")
	wg.Add(2)
	w := spawn(t, s, "tasks", ttl)
	w.expect("claimed")
	alive := claim(t, wg)
	waits := []<-chan error{wg.WaitChan(t.Context()), wg.WaitChan(t.Context()), waitgroup.New(s.Client(t), "key").WaitChan(t.Context())}
	expectNone(t, "a wait for live tasks", waits[0], 2*ttl) // the tasks are renewed
	w.Kill()
	start := time.Now()
	check(t, alive.Done())
	for i, c := range waits {
		abandoned(t, "a wait", receive(t, fmt.Sprint("wait ", i), c, start, ttl+poll), 2)
	}
	abandoned(t, "a later wait", wg.WaitContext(t.Context()), 2)
}
