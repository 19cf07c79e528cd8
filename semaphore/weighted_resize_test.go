package semaphore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func resize(t *testing.T, s *semaphore.Weighted, n int64) {
	t.Helper()
	if err := s.Resize(t.Context(), n); err != nil {
		t.Fatalf("Resize: %v", err)
	}
}

// A process with another size gets an error from each method while Redis knows the size.
func TestSizeMismatch(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 11, ample)
		must(a.Acquire(t.Context(), 1))
		for _, held := range []bool{true, false} {
			_, try := b.TryAcquireLease(t.Context(), 1)
			for _, err := range []error{b.Acquire(t.Context(), 1), try, (<-b.AcquireChan(t.Context(), 1)).Err} {
				if !errors.Is(err, semaphore.ErrSizeMismatch) {
					t.Error(err)
				}
			}
			if panics(func() { b.TryAcquire(1) }) == "<nil>" {
				t.Error("TryAcquire does not panic")
			}
			if held {
				weighs(t, rdb, "one holder", 1)
				a.Release(1)
			}
		}
		awaitEmpty(t, rdb)
	})
}

// The size expires 65 minutes after the last use, but never while permits are in use.
func TestSizeForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 20, ample)
		a.TTL = 5 * time.Minute
		l := acquire(t, a, 1)
		for _, d := range []time.Duration{2 * time.Hour, 64 * time.Minute} {
			time.Sleep(d)
			if err := b.Acquire(t.Context(), 1); !errors.Is(err, semaphore.ErrSizeMismatch) {
				t.Errorf("another size: %v", err)
			}
			if l.Err() == nil {
				release(t, l)
			}
		}
		time.Sleep(66 * time.Minute)
		must(b.Acquire(t.Context(), 1))
		b.Release(1)
	})
}

// A request for more than the size fails at once, and later requests proceed.
func TestExceedsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 10, ample)
		for _, s := range []*semaphore.Weighted{a, b} {
			held := acquire(t, a, 10)
			small := s.AcquireChan(t.Context(), 1)
			large := s.AcquireChan(t.Context(), 11)
			if s.TryAcquire(11) {
				t.Error("TryAcquire of 11 of 10 succeeds")
			}
			time.Sleep(10 * time.Millisecond)
			release(t, held)
			release(t, granted(t, small))
			if r := <-large; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("AcquireChan of 11 of 10 yields %v", r)
			}
		}
		awaitEmpty(t, rdb)
	})
}

// Resize to a larger size grants permits to the waiters that fit, with one message each. Afterwards a
// process may use the initial size or the current one.
func TestResizeUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	held := acquire(t, weightedOf(rdb, 10, ample), 10)
	first := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 3, 1)
	second := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 2, 2)
	third := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 1, 3)
	before := s.Stats(t)
	resize(t, weightedOf(s.Client(t), 10, ample), 15)
	x, y := receive(t, first), receive(t, second)
	if n := s.Stats(t).Since(before).Published(); n != 2 {
		t.Errorf("%d messages to two waiters", n)
	}
	if len(third) > 0 {
		t.Error("16 of 15 permits are in use")
	}
	weighs(t, rdb, "after Resize", 10, 3, 2)
	release(t, x)
	for _, l := range []*semaphore.Lease{receive(t, third), y, held} {
		release(t, l)
	}
	for size, ok := range map[int64]bool{10: true, 15: true, 20: false} {
		for where, client := range map[string]*redis.Client{"here": rdb, "elsewhere": s.Client(t)} {
			w := weightedOf(client, size, ample)
			if err := w.Acquire(t.Context(), 12); (err == nil) != ok || err != nil && !errors.Is(err, semaphore.ErrSizeMismatch) {
				t.Errorf("size %d %s: %v", size, where, err)
			} else if ok {
				w.Release(12)
			}
		}
	}
	awaitEmpty(t, rdb)
}

// Resize to a smaller size takes no permits away, and grants none until enough are released. Requests
// for more than the new size fail, and the others proceed.
func TestResizeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a := weightedOf(rdb, 10, time.Second)
		x, y, z := acquire(t, a, 4), acquire(t, a, 3), acquire(t, a, 1)
		var waits []<-chan semaphore.Result
		for i, n := range []int64{8, 2, 7, 1} {
			waits = append(waits, queued(t, rdb, weightedOf(sibling(t, rdb), 10, ample), n, int64(i+1)))
		}
		resize(t, weightedOf(sibling(t, rdb), 10, ample), 5)
		for _, c := range []<-chan semaphore.Result{waits[0], waits[2]} {
			if r := <-c; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("8 or 7 of 5 yields %v", r)
			}
		}
		if a.TryAcquire(1) {
			t.Error("TryAcquire succeeds while 8 of 5 permits are in use")
		}
		release(t, y) // 5 of 5
		notGranted(t, waits[1], waits[3])
		release(t, z)
		notGranted(t, waits[1], waits[3])
		weighs(t, rdb, "the hold of 4", 4)
		release(t, x)
		two := granted(t, waits[1])
		release(t, granted(t, waits[3]))
		release(t, two)
		awaitEmpty(t, rdb)
	})
}

// Ten calls of Acquire for more than the size send one request in 2 × MaxPollInterval in total. After
// a Resize one of them succeeds.
func TestResizeAboveAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		sent := redistest.CountRequests(rdb)
		s := weightedOf(rdb, 2, time.Hour) // no renewals
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		acquired := make(chan error)
		for range 10 {
			go func() { acquired <- s.Acquire(ctx, 3) }()
		}
		time.Sleep(100 * lease.MaxPollInterval) // until each polls a tenth as often as a single call would
		sent.Swap(0)
		time.Sleep(100 * lease.MaxPollInterval)
		if n := sent.Swap(0); n < 45 || n > 52 {
			t.Errorf("%d requests in 100 × MaxPollInterval", n)
		}
		resize(t, s, 3)
		must(<-acquired)
		cancel()
		for range 9 {
			if err := <-acquired; err != context.Canceled {
				t.Errorf("Acquire returned %v", err)
			}
		}
		s.Release(3)
		awaitEmpty(t, rdb)
	})
}

// Resize waits for the end of an outage, or of its ctx.
func TestResizeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := redistest.NewOutage(rdb)
		w := weightedOf(rdb, 2, ample)
		away.Set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			if err := w.Resize(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Resize in an outage: %v", err)
			}
		}
		time.AfterFunc(time.Minute, func() { away.Set(false) })
		resize(t, w, 3)
		release(t, acquire(t, w, 3))
	})
}

// After a Resize, Acquire does not check the leases of other goroutines unless one was lost: its cost
// does not grow with their number.
func TestAcquireAfterResizeChecksNoLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := weightedOf(bubbleClient(t), 1, ample)
		resize(t, s, 100)
		for range 3 {
			must(s.Acquire(t.Context(), 1))
		}
		restore := s.HideOldestInside()
		for range 20 {
			must(s.Acquire(t.Context(), 1))
		}
		restore()
		s.Release(23)
	})
}

// A goroutine that has lost its permits keeps out others of its process until Release.
func TestAcquireAfterResizeAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s := weightedOf(rdb, 1, time.Second)
		resize(t, s, 5)
		l := acquire(t, s, 1)
		must(s.Acquire(t.Context(), 1))
		must(s.Acquire(t.Context(), 1))
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		resize(t, s, 5)
		if s.TryAcquire(1) {
			t.Error("TryAcquire succeeds before the Release of lost permits")
		}
		s.Release(2)
		must(s.Acquire(t.Context(), 2))
		s.Release(2)
	})
}
