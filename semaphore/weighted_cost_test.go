package semaphore_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestCostUncontended: a request to acquire, one to release, and no message, in
// each style, whatever else the process holds.
func TestCostUncontended(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	sem := weightedOf(rdb, 10, ample)
	for _, held := range []int64{0, 3} {
		var base *semaphore.Lease
		if held > 0 {
			base = acquire(t, sem, held)
		}
		for name, pair := range map[string]func(){
			"Acquire":      func() { must(sem.Acquire(context.Background(), 2)); sem.Release(2) },
			"TryAcquire":   func() { sem.TryAcquire(2); sem.Release(2) },
			"AcquireLease": func() { release(t, acquire(t, sem, 2)) },
			"AcquireChan":  func() { release(t, (<-sem.AcquireChan(t.Context(), 2)).Lease) },
		} {
			pair() // the server learns the scripts
			const n = 50
			before := s.Stats(t)
			for range n {
				pair()
			}
			cost := s.Stats(t).Since(before)
			if cost.Requests() != 2*n || cost.Published() != 0 {
				t.Errorf("%s: %d pairs beside %d held cost %d requests, %d messages", name, n, held, cost.Requests(), cost.Published())
			}
		}
		if base != nil {
			release(t, base)
		}
	}
	rests(t, rdb, 0)
}

// TestCostRaise: a process that holds 3 and takes 2 more is one member with the
// weight 5, for one request.
func TestCostRaise(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	sem := weightedOf(rdb, 10, ample)
	cost := func(what string, f func()) {
		t.Helper()
		before := s.Stats(t)
		f()
		if c := s.Stats(t).Since(before); c.Requests() != 1 || c.Published() != 0 {
			t.Errorf("%s: %d requests, %d messages", what, c.Requests(), c.Published())
		}
	}
	release(t, acquire(t, sem, 1)) // the server learns the scripts
	must(sem.Acquire(t.Context(), 3))
	weighs(t, rdb, "3", 3)
	var l *semaphore.Lease
	cost("2 more", func() { l = acquire(t, sem, 2) })
	weighs(t, rdb, "2 more", 5)
	cost("2 less, in part", func() { sem.Release(2) })
	weighs(t, rdb, "2 less", 3)
	cost("a lease less", func() { release(t, l) })
	weighs(t, rdb, "a lease less", 1)
	cost("the last", func() { sem.Release(1) })
	weighs(t, rdb, "nothing")
}

// TestCostRelease: a release that lets four processes in is one request and sends
// four messages. A fifth, which does not fit, hears and does nothing.
func TestCostRelease(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	sem := weightedOf(rdb, 10, ample)
	held, rest := acquire(t, sem, 8), acquire(t, sem, 2)
	var line []<-chan semaphore.Result
	for i := range 5 {
		line = append(line, queued(t, rdb, weightedOf(s.Client(t, redistest.Patient), 10, ample), 2, int64(i+1)))
	}
	before, start := s.Stats(t), time.Now()
	release(t, held)
	var leases []*semaphore.Lease
	for _, c := range line[:4] {
		leases = append(leases, receive(t, "a hand-over", c, 0))
	}
	cost := s.Stats(t).Since(before)
	if polls := int64(5 * (1 + time.Since(start)/time.Second)); cost.Published() != 4 || cost.Scripts() > 1+polls {
		t.Errorf("a release that lets 4 in cost %d requests and %d messages", cost.Scripts(), cost.Published())
	}
	excludes(t, "the fifth", line[4], 0)
	release(t, rest)
	release(t, receive(t, "the fifth", line[4], 0))
	if n := s.Stats(t).Since(before).Published(); n != 5 {
		t.Errorf("%d messages let 5 in", n)
	}
	for _, l := range leases {
		release(t, l)
	}
	rests(t, rdb, 0)
}

// TestCostReleaseExact is the same in a bubble, where no poll is due: the release
// is one request, and who was let in sends none.
func TestCostReleaseExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var m meter
		rdb.AddHook(&m)
		sem := weightedOf(rdb, 10, ample)
		release(t, acquire(t, sem, 1)) // the server learns the scripts
		held := acquire(t, sem, 10)
		var line []<-chan semaphore.Result
		for i := range 5 {
			another := sibling(t, rdb)
			another.AddHook(&m)
			line = append(line, queued(t, rdb, weightedOf(another, 10, ample), 2, int64(i+1)))
		}
		time.Sleep(100 * time.Millisecond)
		before, start := m.scripts.Load(), time.Now()
		release(t, held)
		var leases []*semaphore.Lease
		for _, c := range line {
			leases = append(leases, (<-c).Lease)
		}
		synctest.Wait()
		if n := m.scripts.Load() - before; n != 1 || time.Since(start) != 0 {
			t.Errorf("a release that lets 5 in cost %d requests, and %v", n, time.Since(start))
		}
		for _, l := range leases {
			release(t, l)
		}
	})
}

// TestCostIdle has 4 × 64 waiters wait for a minute: a request a second for each
// process, and the renewals of the holder.
func TestCostIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		held := acquire(t, weightedOf(rdb, 10, ample), 10)
		var m meter
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 4 {
			another := sibling(t, rdb)
			another.AddHook(&m)
			sem := weightedOf(another, 10, ample)
			for i := range 64 {
				wg.Go(func() { <-sem.AcquireChan(ctx, int64(i%10)+1) })
			}
		}
		awaitQueue(t, rdb, 4)
		before := m.scripts.Load()
		time.Sleep(time.Minute)
		if n := m.scripts.Load() - before; n > 4*62 || n < 4*45 {
			t.Errorf("256 waiters of 4 processes cost %d requests in a minute", n)
		}
		cancel()
		wg.Wait()
		release(t, held)
	})
}

// TestCostInside has 64 goroutines of one process pass 16 permits round: a
// time slice costs a request, a hold far less.
func TestCostInside(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	sem := weightedOf(s.Client(t, redistest.Patient), 16, ample)
	const goroutines, each = 64, 100
	before := s.Stats(t)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				must(sem.Acquire(context.Background(), 1))
				sem.Release(1)
			}
		})
	}
	wg.Wait()
	cost := s.Stats(t).Since(before)
	perHold := float64(cost.Scripts()) / (goroutines * each)
	t.Logf("%.4f requests a hold", perHold)
	if perHold > 0.2 || cost.Published() != 0 {
		t.Errorf("%.4f requests a hold, %d messages", perHold, cost.Published())
	}
}

// TestCostReleasePortions: a Release of what several acquires took is one request.
func TestCostReleasePortions(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	sem := weightedOf(s.Client(t, redistest.Patient), 10, ample)
	for range 2 {
		for range 5 {
			must(sem.Acquire(t.Context(), 1))
		}
		before := s.Stats(t)
		sem.Release(4) // and leaves one
		sem.Release(1)
		if n := s.Stats(t).Since(before).Calls["evalsha"]; n != 2 {
			t.Errorf("two releases of what five acquires took cost %d requests", n)
		}
	}
}
