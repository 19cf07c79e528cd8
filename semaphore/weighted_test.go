package semaphore_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// The tests of x/sync's semaphore, by their names, in one process and over four.

const maxSleep = time.Millisecond

func HammerWeighted(t *testing.T, sem *semaphore.Weighted, g *gauge, n int64, loops int) {
	for range loops {
		if err := sem.Acquire(context.Background(), n); err != nil {
			t.Error(err)
			return
		}
		leave := g.enter(n)
		time.Sleep(rand.N(maxSleep))
		leave()
		sem.Release(n)
	}
}

func TestWeighted(t *testing.T) {
	t.Parallel()
	const n = 8
	loops := 20
	if testing.Short() {
		loops = 10
	}
	inOneAndFour(t, n, func(t *testing.T, of func(int) *semaphore.Weighted) {
		g := &gauge{t: t, size: n}
		var wg sync.WaitGroup
		for i := range 2 * n {
			wg.Go(func() { HammerWeighted(t, of(i), g, int64(i%n)+1, loops) })
		}
		wg.Wait()
		if g.most.Load() < n/2 {
			t.Errorf("no more than %d permits of %d were ever in use", g.most.Load(), n)
		}
	})
}

// TestTryAcquireAllSucceed tries at once for fewer permits than are free.
func TestTryAcquireAllSucceed(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 1000, func(t *testing.T, of func(int) *semaphore.Weighted) {
		var wg sync.WaitGroup
		var got atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				if of(i).TryAcquire(1) {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 64 {
			t.Fatalf("%d of 64 tries at once succeed, with 1,000 permits free", got.Load())
		}
		for i := range 64 {
			of(i).Release(1)
		}
	})
}

func TestWeightedPanic(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 1, func(t *testing.T, of func(int) *semaphore.Weighted) {
		if panics(func() { of(0).Release(1) }) == "<nil>" {
			t.Fatal("release of an unacquired weighted semaphore did not panic")
		}
	})
}

func TestWeightedNegativeSizePanic(t *testing.T) {
	if panics(func() { semaphore.NewWeighted(nil, "key", -1) }) == "<nil>" {
		t.Fatal("NewWeighted with negative size did not panic")
	}
}

func TestWeightedZeroSize(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 0, func(t *testing.T, of func(int) *semaphore.Weighted) {
		if !of(0).TryAcquire(0) {
			t.Fatal("TryAcquire on a zero-sized semaphore with zero weight failed")
		}
		if of(1).TryAcquire(1) {
			t.Fatal("TryAcquire of 1 on a zero-sized semaphore succeeded")
		}
		resize(t, of(2), 1)
		must(of(3).Acquire(t.Context(), 1))
		of(3).Release(1)
	})
}

// TestWeightedZeroWeight acquires and releases no permits of a semaphore without a free one.
func TestWeightedZeroWeight(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 1, func(t *testing.T, of func(int) *semaphore.Weighted) {
		must(of(0).Acquire(t.Context(), 1))
		must(of(1).Acquire(t.Context(), 0))
		if !of(2).TryAcquire(0) {
			t.Error("TryAcquire of 0 failed")
		}
		of(2).Release(0)
		if of(3).TryAcquire(1) {
			t.Error("Release of 0 released 1")
		}
		of(0).Release(1)
	})
}

func TestWeightedNegativeWeightPanic(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 1, func(t *testing.T, of func(int) *semaphore.Weighted) {
		w := of(0)
		if panics(func() { _ = w.Acquire(t.Context(), -1) }) == "<nil>" {
			t.Error("Acquire with negative weight did not panic")
		}
		if panics(func() { w.TryAcquire(-1) }) == "<nil>" {
			t.Error("TryAcquire with negative weight did not panic")
		}
		if panics(func() { w.Release(-1) }) == "<nil>" {
			t.Error("Release with negative weight did not panic")
		}
	})
}

// compare checks what a table of tries has come to.
func compare(t *testing.T, tries []bool) {
	t.Helper()
	want := []bool{true, false, true, false}
	for i := range tries {
		if tries[i] != want[i] {
			t.Errorf("tries[%d]: got %t, want %t", i, tries[i], want[i])
		}
	}
}

func TestWeightedTryAcquire(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 2, func(t *testing.T, of func(int) *semaphore.Weighted) {
		ctx := t.Context()
		tries := []bool{}
		must(of(0).Acquire(ctx, 1))
		tries = append(tries, of(1).TryAcquire(1))
		tries = append(tries, of(2).TryAcquire(1))

		of(0).Release(1)
		of(1).Release(1)

		tries = append(tries, of(3).TryAcquire(1))
		must(of(0).Acquire(ctx, 1))
		tries = append(tries, of(1).TryAcquire(1))
		compare(t, tries)
		of(3).Release(1)
		of(0).Release(1)
	})
}

func TestWeightedAcquire(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 2, func(t *testing.T, of func(int) *semaphore.Weighted) {
		ctx := t.Context()
		tryAcquire := func(i int, patience time.Duration) bool {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return of(i).Acquire(ctx, 1) == nil
		}
		tries := []bool{}
		must(of(0).Acquire(ctx, 1))
		tries = append(tries, tryAcquire(1, ample))
		tries = append(tries, tryAcquire(2, 10*time.Millisecond))

		of(0).Release(1)
		of(1).Release(1)

		tries = append(tries, tryAcquire(3, ample))
		must(of(0).Acquire(ctx, 1))
		tries = append(tries, tryAcquire(1, 10*time.Millisecond))
		compare(t, tries)
		of(3).Release(1)
		of(0).Release(1)
	})
}

// TestWeightedDoesntBlockIfTooBig has calls of Acquire for more than the size wait for
// their ctx. They do not block other calls.
func TestWeightedDoesntBlockIfTooBig(t *testing.T) {
	t.Parallel()
	const n = 2
	inOneAndFour(t, n, func(t *testing.T, of func(int) *semaphore.Weighted) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var big, wg sync.WaitGroup
		for i := range 3 * n {
			big.Go(func() {
				// The second can never fit: no semaphore is so large.
				if err := of(i).Acquire(ctx, []int64{n + 1, math.MaxInt64}[i%2]); err != context.Canceled || ctx.Err() == nil {
					t.Errorf("Acquire of more than %d returned %v", n, err)
				}
			})
			wg.Go(func() {
				if err := of(i).Acquire(t.Context(), 1); err != nil {
					t.Errorf("Acquire(1) failed with Acquire(%d) pending: %v", n+1, err)
					return
				}
				if of(i).TryAcquire(n + 1) {
					t.Errorf("TryAcquire of %d succeeded", n+1)
				}
				of(i).Release(1)
			})
		}
		wg.Wait()
		cancel()
		big.Wait()
	})
}

// TestLargeAcquireDoesntStarve times out if a large call to Acquire starves.
func TestLargeAcquireDoesntStarve(t *testing.T) {
	t.Parallel()
	const n = 8
	inOneAndFour(t, n, func(t *testing.T, of func(int) *semaphore.Weighted) {
		ctx := t.Context()
		var done atomic.Bool
		var wg sync.WaitGroup
		for i := range n {
			must(of(i).Acquire(ctx, 1))
			wg.Go(func() {
				defer of(i).Release(1)
				for !done.Load() {
					time.Sleep(time.Millisecond)
					of(i).Release(1)
					must(of(i).Acquire(ctx, 1))
				}
			})
		}
		start := time.Now()
		must(of(0).Acquire(ctx, n))
		bounded(t, "to acquire all", start, time.Second)
		done.Store(true)
		of(0).Release(n)
		wg.Wait()
	})
}

func TestAllocCancelDoesntStarve(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 10, func(t *testing.T, of func(int) *semaphore.Weighted) {
		// Block off a portion of the semaphore so that Acquire(_, 10) can eventually succeed.
		must(of(0).Acquire(t.Context(), 1))

		// In the background, Acquire(_, 10).
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := of(1).Acquire(ctx, 10); !errors.Is(err, context.Canceled) {
				t.Errorf("Acquire(_, 10) returned %v", err)
			}
		})

		// Wait until the Acquire(_, 10) call blocks.
		for of(2).TryAcquire(1) {
			of(2).Release(1)
			runtime.Gosched()
		}

		// Now try to grab a read lock, and simultaneously unblock the Acquire(_, 10) call.
		// Both Acquire calls should unblock and return, in either order.
		go cancel()

		start := time.Now()
		if err := of(3).Acquire(t.Context(), 1); err != nil {
			t.Fatalf("Acquire(_, 1) failed unexpectedly: %v", err)
		}
		bounded(t, "to get past who has given up", start, 0)
		wg.Wait()
		of(3).Release(1)
		of(0).Release(1)
	})
}

// TestWeightedAcquireCanceled has a ctx end before enough permits come back: the
// Acquire fails, and none of them is lost.
func TestWeightedAcquireCanceled(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, 2, func(t *testing.T, of func(int) *semaphore.Weighted) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		must(of(0).Acquire(t.Context(), 1))
		var wg sync.WaitGroup
		wg.Go(func() {
			// Synchronize with the Acquire(2) below.
			for of(2).TryAcquire(1) {
				of(2).Release(1)
			}
			// Now cancel ctx, and then release the token.
			cancel()
			of(0).Release(1)
		})
		if err := of(1).Acquire(ctx, 2); err != context.Canceled {
			t.Errorf("Acquire with canceled context returned wrong error: want context.Canceled, got %v", err)
		}
		wg.Wait()
		// There are two permits again, once Redis has been told.
		redistest.Eventually(t, poll, func() bool { return of(3).TryAcquire(2) }, "TryAcquire after canceled Acquire fails")
		of(3).Release(2)
		// A ctx that has ended gets nothing that is free.
		if err := of(0).Acquire(ctx, 1); err != context.Canceled {
			t.Errorf("Acquire with canceled context returned wrong error: want context.Canceled, got %v", err)
		}
	})
}

// TestWeightedFIFO has five processes wait in a known order: nobody overtakes,
// however little it wants, and whoever fits is let in together.
func TestWeightedFIFO(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		first := weightedOf(rdb, 10, ample)
		a, b := acquire(t, first, 6), acquire(t, first, 3)
		var line []<-chan semaphore.Result
		for i, n := range []int64{8, 1, 1, 10, 1} {
			line = append(line, queued(t, rdb, weightedOf(sibling(t, rdb), 10, ample), n, int64(i+1)))
		}
		if first.TryAcquire(1) {
			t.Error("TryAcquire overtakes")
		}
		release(t, b) // 6 in use: a small one would fit
		for i, c := range line {
			excludes(t, "5 are in line, 6 permits in use", c, time.Duration(10*(1-min(i, 1)))*time.Millisecond)
		}
		release(t, a)
		x, y, z := receive(t, "8", line[0], 0), receive(t, "1", line[1], 0), receive(t, "1 more", line[2], 0)
		excludes(t, "10 of 10 are in use", line[3], 10*time.Millisecond)
		release(t, x)
		release(t, y)
		excludes(t, "1 of 10 is in use, 10 are wanted", line[3], 10*time.Millisecond)
		excludes(t, "there is one before it", line[4], 0)
		release(t, z)
		release(t, receive(t, "10", line[3], 0))
		release(t, receive(t, "the last", line[4], 0))
		rests(t, rdb, 0)
	})
}

// TestWeightedFIFOInside is the same in one process: its goroutines are served in
// their order.
func TestWeightedFIFOInside(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 4, ample)
		held := acquire(t, s, 3)
		large := s.AcquireChan(t.Context(), 4)
		var small []<-chan semaphore.Result
		for range 4 {
			small = append(small, s.AcquireChan(t.Context(), 1))
		}
		excludes(t, "3 of 4 are in use", large, 50*time.Millisecond)
		for _, c := range small {
			excludes(t, "a large one is before it", c, 0)
		}
		release(t, held)
		l := receive(t, "4", large, 0)
		for _, c := range small {
			excludes(t, "all are in use", c, 0)
		}
		release(t, l)
		var all []*semaphore.Lease
		for _, c := range small {
			all = append(all, receive(t, "1", c, 0))
		}
		weighs(t, rdb, "four have one", 4)
		for _, l := range all {
			release(t, l)
		}
		rests(t, rdb, 0)
	})
}

// TestWeightedDo releases whatever f does, and tells it of a loss by its ctx.
func TestWeightedDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s := weightedOf(rdb, 2, time.Second)
		why := errors.New("why")
		if err := s.Do(t.Context(), 2, func(context.Context) error {
			weighs(t, rdb, "inside", 2)
			return why
		}); !errors.Is(err, why) {
			t.Errorf("Do returned %v", err)
		}
		if got := panics(func() { _ = s.Do(t.Context(), 2, func(context.Context) error { panic("inside") }) }); got != "inside" {
			t.Errorf("it panics with %v", got)
		}
		weighs(t, rdb, "after two")
		err := s.Do(t.Context(), 1, func(ctx context.Context) error {
			rdb.FlushAll(ctx)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, semaphore.ErrLost) {
			t.Errorf("Do after a loss returned %v", err)
		}
		if err := s.Do(t.Context(), 3, func(context.Context) error { panic("called") }); !errors.Is(err, semaphore.ErrExceedsSize) {
			t.Errorf("Do of too many returned %v", err)
		}
		rests(t, rdb, 0)
	})
}

// TestWeightedCancelInside has who is first in line in a process that holds
// permits give up: the next, who wants less, is let in at once.
func TestWeightedCancelInside(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 10, ample)
		held := acquire(t, s, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		large := s.AcquireChan(ctx, 10)
		small := s.AcquireChan(t.Context(), 1)
		awaitQueue(t, rdb, 1)
		cancel()
		if r := <-large; !errors.Is(r.Err, context.Canceled) {
			t.Errorf("the large one got %v", r)
		}
		release(t, receive(t, "the small one", small, 0))
		release(t, held)
		rests(t, rdb, 0)
	})
}

// TestWeightedAtOnce has seven goroutines ask at once for one permit each of the
// seven that are free, and keep it.
func TestWeightedAtOnce(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		rival := acquire(t, weightedOf(sibling(t, rdb), 10, ample), 3)
		for range 20 {
			s := weightedOf(sibling(t, rdb), 10, ample)
			in := make(chan struct{}, 7)
			for range 7 {
				go func() {
					must(s.Acquire(context.Background(), 1)) // no ctx to heed, so this goroutine asks itself
					in <- struct{}{}
				}()
			}
			for i := range 7 {
				select {
				case <-in:
				case <-time.After(2 * poll):
					t.Fatalf("%d of 7 are inside; Redis has %v, %d in use, %d wait", i, members(t, rdb), state(t, rdb, 3), state(t, rdb, 4))
				}
			}
			s.Release(7)
		}
		release(t, rival)
		rests(t, rdb, 0)
	})
}
