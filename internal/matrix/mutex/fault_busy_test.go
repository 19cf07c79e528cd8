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

// busyLocker holds the key on one processor, which others of its goroutines keep busy, while many
// more wait for the key.
func busyLocker() {
	rdb, ttl := kit.FromEnv()
	m := mutexOf(rdb, ttl)
	l, err := m.LockContext(context.Background())
	must(err)
	for range 10_000 {
		m.LockChan(context.Background())
	}
	go func() {
		//lint:ignore SA5002 it keeps the processor busy
		for {
		}
	}()
	runtime.Gosched()
	kit.Serve(l, l.Unlock, ttl)
}

const busyTTL = 1500 * time.Millisecond

// TestFaultBusy keeps the one processor of a holder busy, and has ten thousand wait
// in its line (row 48): its renewals wait neither for these nor for those.
func TestFaultBusy(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := kit.Spawn(t, s, "busy-locker", busyTTL, "GOMAXPROCS=1")
	fence := w.Held()
	next := queued(t, s, mutexOf(s.Client(t), ample), 1)
	before := s.Stats(t)
	excludes(t, next, busyTTL+busyTTL/3)
	if n := s.Stats(t).Since(before).Calls["pexpire"]; n < 2 {
		t.Errorf("%d renewals in more than a TTL", n)
	}
	w.Asked("err", "err", "nil")
	w.Kill()
	n := receive(t, "to wait for the dead holder", next, busyTTL)
	follows(t, n, fence)
	unlock(t, n)
}

// TestFaultManyWaiters has very many wait in one process (row 53). Redis has one
// entry of them all, none has a goroutine, and none but the last costs a request.
func TestFaultManyWaiters(t *testing.T) {
	t.Parallel()
	const waiters = 100_000
	s := redistest.Start(t)
	holder, m := mutexOf(s.Client(t), ample), mutexOf(s.Client(t), ample)
	l := lock(t, holder)
	goroutines := runtime.NumGoroutine()
	results := make([]<-chan mutex.Result, waiters)
	for i := range results {
		results[i] = m.LockChan(t.Context())
	}
	awaitQueue(t, s, 1)
	redistest.CheckCount(t, "the goroutines of those who wait", runtime.NumGoroutine()-goroutines, waiters/10) // those of other tests among them
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
	// One yields after a millisecond, and polls meanwhile.
	turns := time.Since(start).Milliseconds() + int64(waiters)/1024
	redistest.CheckCount(t, "the requests of those who waited", s.Stats(t).Since(before).Scripts(), 2*turns+10)
	rests(t, s, 0)
}
