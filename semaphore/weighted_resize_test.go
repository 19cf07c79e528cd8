package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A process with another size gets an error from each method while Redis knows the size: while permits
// are in use, and for 65 minutes after that.
func TestSizeMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 10, time.Hour), weightedOf(sibling(t, rdb), 11, ample)
		must(a.Acquire(t.Context(), 1))
		for _, d := range []time.Duration{0, 2 * time.Hour, 64 * time.Minute} {
			time.Sleep(d)
			_, try := b.TryAcquireLease(t.Context(), 1)
			for _, err := range []error{b.Acquire(t.Context(), 1), try, (<-b.AcquireChan(t.Context(), 1)).Err} {
				if !errors.Is(err, semaphore.ErrSizeMismatch) {
					t.Error(err)
				}
			}
			if panics(func() { b.TryAcquire(1) }) == "<nil>" {
				t.Error("TryAcquire does not panic")
			}
			if d == 2*time.Hour {
				weighs(t, rdb, "one holder", 1)
				a.Release(1)
			}
		}
		time.Sleep(2 * time.Minute)
		release(t, acquire(t, b, 11))
	})
}

// Resize to a larger size grants permits to the waiters that fit, with one message each. Resize to a
// smaller size takes no permits away, grants none until enough are released, and ends waits for more
// than that.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 6)
		s := weightedOf(all[0], 10, time.Second)
		five, three, two := acquire(t, s, 5), acquire(t, s, 3), acquire(t, s, 2)
		var waits []<-chan semaphore.Result
		for i, n := range []int64{3, 2, 8, 1} {
			waits = append(waits, queued(t, all[0], weightedOf(all[i+1], 10, ample), n, int64(i+1)))
		}
		must(s.Resize(t.Context(), 10)) // the server learns the script
		var x, y *semaphore.Lease
		c.CheckCost(t, "Resize", 1, 2, func() {
			must(weightedOf(all[5], 10, ample).Resize(t.Context(), 15))
			x, y = receive(t, waits[0]), receive(t, waits[1])
		})
		release(t, x)
		notGranted(t, waits[2:]...) // 12 of 15
		must(weightedOf(all[5], 15, ample).Resize(t.Context(), 6))
		if r := <-waits[2]; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
			t.Errorf("8 of 6 yields %v", r)
		}
		release(t, y)
		release(t, three)
		if s.TryAcquire(1) {
			t.Error("TryAcquire succeeds while 7 of 6 permits are in use")
		}
		notGranted(t, waits[3])
		weighs(t, all[0], "the holds of 5 and 2", 7)
		release(t, two)
		release(t, receive(t, waits[3]))
		release(t, five)
	})
}

// Resize waits for the end of an outage, or of its ctx.
func TestResizeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := redistest.NewOutage(rdb)
		s := weightedOf(rdb, 2, ample)
		away.Set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Resize(ctx, 5); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(Redis: ") {
			t.Errorf("Resize in an outage: %v", err)
		}
		time.AfterFunc(time.Minute, func() { away.Set(false) })
		must(s.Resize(t.Context(), 3))
		release(t, acquire(t, s, 3))
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
		acquired := make(chan error)
		for range 10 {
			go func() { acquired <- s.Acquire(ctx, 3) }()
		}
		time.Sleep(100 * lease.MaxPollInterval) // until each polls a tenth as often as a single call would
		sent.Store(0)
		time.Sleep(100 * lease.MaxPollInterval)
		if n := sent.Load(); n < 45 || n > 52 {
			t.Errorf("%d requests in 100 × MaxPollInterval", n)
		}
		must(s.Resize(t.Context(), 3))
		must(<-acquired)
		cancel()
		for range 9 {
			if err := <-acquired; err != context.Canceled {
				t.Errorf("Acquire returned %v", err)
			}
		}
		s.Release(3)
	})
}

// After a Resize, Acquire does not check the leases of other goroutines unless one was lost: its cost
// does not grow with their number.
func TestAcquireAfterResizeChecksNoLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := weightedOf(bubbleClient(t), 1, ample)
		must(s.Resize(t.Context(), 100))
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
		must(s.Resize(t.Context(), 5))
		l := acquire(t, s, 1)
		must(s.Acquire(t.Context(), 1))
		must(s.Acquire(t.Context(), 1))
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		must(s.Resize(t.Context(), 5))
		if s.TryAcquire(1) {
			t.Error("TryAcquire succeeds before the Release of lost permits")
		}
		s.Release(2)
		must(s.Acquire(t.Context(), 2))
		s.Release(2)
	})
}
