package mutex_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["busy-locker"] = busyLocker }

// busyLocker holds the key on one processor. One goroutine keeps the processor busy, and many others
// wait for the key.
func busyLocker() {
	rdb, ttl := kit.FromEnv()
	m := mutexOf(rdb, ttl)
	l, err := m.LockContext(context.Background())
	must(err)
	for range 10_000 {
		m.LockChan(context.Background())
	}
	go func() {
		//lint:ignore SA5002 the loop keeps the processor busy
		for {
		}
	}()
	runtime.Gosched()
	kit.Serve(l, l.Unlock, ttl)
}

const busyTTL = 1500 * time.Millisecond

// TestFaultBusy keeps the only processor of a holder busy, with ten thousand waiters in the process (row
// 48). Neither delays the renewals.
func TestFaultBusy(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "busy-locker", busyTTL, "GOMAXPROCS=1")
	fence := w.ExpectHeld()
	next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
	before := s.Stats(t)
	expectExcluded(t, next, busyTTL+busyTTL/3)
	if n := s.Stats(t).Since(before).Calls["pexpire"]; n < 2 {
		t.Errorf("%d renewals in more than a TTL", n)
	}
	w.Request("err", "err", "nil")
	w.Kill()
	n := receive(t, "to acquire the dead holder's lock", next, busyTTL)
	expectFenceAbove(t, n, fence)
	unlock(t, n)
}

// TestFaultManyWaiters waits with 100,000 waiters in one process (row 53). Redis has one entry for all
// of them, waiting needs no goroutine, and a hand-over in the process no request.
func TestFaultManyWaiters(t *testing.T) {
	t.Parallel()
	const waiters = 100_000
	s := redistest.Start(t)
	holder, m := mutexOf(s.Client(t), ample), mutexOf(s.Client(t), ample)
	l := lock(t, holder)
	goroutines := redistest.Goroutines()
	results := make([]<-chan mutex.Result, waiters)
	for i := range results {
		results[i] = m.LockChan(t.Context())
	}
	awaitQueue(t, s, 1)
	redistest.CheckCount(t, "the goroutines of the waiters", redistest.Goroutines()-goroutines, waiters/10) // includes goroutines of other tests
	before := s.Stats(t)
	unlock(t, l)
	start := time.Now()
	for _, c := range results {
		r := <-c
		must(r.Err)
		if r.Lease.Fence() <= l.Fence() {
			t.Fatalf("fence %d after %d", r.Lease.Fence(), l.Fence())
		}
		l = r.Lease
		unlock(t, l)
	}
	// The process yields after each time slice of a millisecond, and also polls.
	slices := time.Since(start).Milliseconds() + int64(waiters)/1024
	redistest.CheckCount(t, "the requests of the waiters", s.Stats(t).Since(before).Scripts(), 2*slices+10)
	expectNothingLeft(t, s, 0)
}
