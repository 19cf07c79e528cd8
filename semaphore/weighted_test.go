package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// internal/dropin runs the tests of x/sync's semaphore.

// Permits exclude others until their release, with each method.
func TestWeightedExcludes(t *testing.T) {
	withOneAndFourProcesses(t, 3, func(t *testing.T, of func(int) *semaphore.Weighted) {
		s := of(0)
		for name, take := range ways(t, s, 2) {
			releaseAll := take()
			if l, err := of(1).TryAcquireLease(t.Context(), 2); of(1).TryAcquire(2) || l != nil || !errors.Is(err, semaphore.ErrNotAvailable) {
				t.Errorf("%s: TryAcquire of too many permits succeeds, or TryAcquireLease returns %v, %v", name, l, err)
			}
			must(of(2).Acquire(t.Context(), 1))
			of(2).Release(1)
			next := of(3).AcquireChan(t.Context(), 2)
			if len(next) > 0 {
				t.Errorf("%s: too many permits are granted", name)
			}
			releaseAll()
			release(t, receive(t, next))
			if text := panics(func() { s.Release(1) }); !strings.Contains(text, "released more than held") {
				t.Errorf("%s: an extra Release panics with %s", name, text)
			}
		}
	})
}

// Concurrent tries all succeed if there are enough permits.
func TestTryAcquireAllSucceed(t *testing.T) {
	withOneAndFourProcesses(t, 64, func(t *testing.T, of func(int) *semaphore.Weighted) {
		var wg sync.WaitGroup
		var got atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				if of(i).TryAcquire(1) {
					got.Add(1)
				}
			})
		}
		if wg.Wait(); got.Load() != 64 {
			t.Fatalf("%d of 64 concurrent tries succeed", got.Load())
		}
		for i := range 64 {
			of(i).Release(1)
		}
	})
}

// An acquire of 0 permits always succeeds, and a semaphore of size 0 grants no permit.
func TestZeroPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s, other := weightedOf(rdb, 0, ample), weightedOf(sibling(t, rdb), 0, ample)
		must(s.Acquire(t.Context(), 0))
		if !other.TryAcquire(0) || other.TryAcquire(1) {
			t.Error("TryAcquire of 0 fails, or that of 1 succeeds")
		}
		must(other.Resize(t.Context(), 1))
		must(s.Acquire(t.Context(), 1))
		must(other.Acquire(t.Context(), 0))
		if other.Release(0); other.TryAcquire(1) {
			t.Error("Release of 0 released a permit")
		}
		s.Release(1)
	})
}

// Waiters get permits in order. A small request does not overtake, and all waiters that fit get permits
// together.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := weightedOf(bubbleClient(t), 10, ample)
		a, b := acquire(t, s, 6), acquire(t, s, 3)
		var waits []<-chan semaphore.Result
		for _, n := range []int64{8, 1, 1, 10, 1} {
			waits = append(waits, s.AcquireChan(t.Context(), n))
			time.Sleep(10 * time.Millisecond)
		}
		if s.TryAcquire(1) {
			t.Error("TryAcquire overtakes")
		}
		release(t, b) // 6 in use: a small request would fit
		notGranted(t, waits...)
		release(t, a)
		x, y, z := receive(t, waits[0]), receive(t, waits[1]), receive(t, waits[2])
		release(t, x)
		release(t, y)
		notGranted(t, waits[3:]...)
		release(t, z)
		w := receive(t, waits[3])
		notGranted(t, waits[4])
		release(t, w)
		release(t, receive(t, waits[4]))
	})
}

// Do always releases. A loss cancels the ctx of f.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s := weightedOf(rdb, 2, time.Second)
		why := errors.New("why")
		if err := s.Do(t.Context(), 2, func(context.Context) error { weighs(t, rdb, "inside", 2); return why }); !errors.Is(err, why) {
			t.Errorf("Do returned %v", err)
		}
		if got := panics(func() { _ = s.Do(t.Context(), 2, func(context.Context) error { panic("inside") }) }); got != "panic: inside" {
			t.Errorf("Do: %v", got)
		}
		weighs(t, rdb, "after two calls")
		if err := s.Do(t.Context(), 1, func(ctx context.Context) error {
			rdb.FlushAll(ctx)
			<-ctx.Done()
			return context.Cause(ctx)
		}); !errors.Is(err, semaphore.ErrLost) {
			t.Errorf("Do after a loss returned %v", err)
		}
		if err := s.Do(t.Context(), 3, called); !errors.Is(err, semaphore.ErrExceedsSize) {
			t.Errorf("Do of too many permits returned %v", err)
		}
	})
}

// The permits of several calls of Acquire can be released in other portions, also concurrently. A
// release of too many panics.
func TestReleaseInPortions(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 20, ample)
		l := acquire(t, s, 3) // Release must not release these
		for range 10 {
			for _, n := range []int64{1, 5, 2, 3} {
				must(s.Acquire(t.Context(), n))
			}
			s.Release(4)
			weighs(t, rdb, "4 of 11 released", 10)
			var panicked atomic.Int64
			var wg sync.WaitGroup
			for range 9 {
				wg.Go(func() {
					if panics(func() { s.Release(1) }) != "<nil>" {
						panicked.Add(1)
					}
				})
			}
			if wg.Wait(); panicked.Load() != 2 {
				t.Errorf("%d of 9 releases of 7 panicked", panicked.Load())
			}
			weighs(t, rdb, "all released", 3)
		}
		release(t, l)
		redistest.AwaitEmpty(t, rdb, ample, "")
	})
}

// With Linger, a process that repeatedly acquires the same number of permits needs no requests.
// Another process still gets them.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 3, ample), weightedOf(sibling(t, rdb), 3, ample)
		sent := redistest.CountRequests(rdb)
		a.Linger = time.Second
		for i := range 200 {
			must(a.Acquire(t.Context(), 2))
			a.Release(2)
			time.Sleep(time.Millisecond)
			if i == 20 {
				sent.Store(0)
			}
		}
		if n := sent.Load(); n > 1 {
			t.Errorf("180 holds cost %d requests", n)
		}
		s, err := a.Inspect(t.Context())
		if err != nil || len(s.Holders) != 1 || !s.Holders[0].Idle || !s.Holders[0].MayLinger || s.Used != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		release(t, acquire(t, b, 3))
	})
}
