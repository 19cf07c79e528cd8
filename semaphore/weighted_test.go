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

// What one takes the others do not get, by each way to take it, until it is back.
func TestWeightedExcludes(t *testing.T) {
	inOneAndFour(t, 3, func(t *testing.T, of func(int) *semaphore.Weighted) {
		s := of(0)
		for name, take := range ways(t, s, 2) {
			back := take()
			if of(1).TryAcquire(2) {
				t.Errorf("%s: TryAcquire of too many succeeds", name)
			}
			if l, err := of(1).TryAcquireLease(t.Context(), 2); l != nil || !errors.Is(err, semaphore.ErrNotAvailable) {
				t.Errorf("%s: TryAcquireLease of too many: %v, %v", name, l, err)
			}
			must(of(2).Acquire(t.Context(), 1))
			of(2).Release(1)
			next := of(3).AcquireChan(t.Context(), 2)
			if len(next) > 0 {
				t.Errorf("%s: too many are granted", name)
			}
			back()
			release(t, receive(t, next))
			if text := panics(func() { s.Release(1) }); !strings.Contains(text, "released more than held") {
				t.Errorf("%s: one Release too many panics with %s", name, text)
			}
		}
	})
}

// As many tries at once as there are permits all succeed.
func TestTryAcquireAllSucceed(t *testing.T) {
	inOneAndFour(t, 64, func(t *testing.T, of func(int) *semaphore.Weighted) {
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
			t.Fatalf("%d of 64 tries at once succeed", got.Load())
		}
		for i := range 64 {
			of(i).Release(1)
		}
	})
}

// No permits can be had of any semaphore, and none of a semaphore without any.
func TestZeroPermits(t *testing.T) {
	inOneAndFour(t, 0, func(t *testing.T, of func(int) *semaphore.Weighted) {
		must(of(0).Acquire(t.Context(), 0))
		if !of(1).TryAcquire(0) || of(1).TryAcquire(1) {
			t.Error("TryAcquire of 0 fails, or that of 1 succeeds")
		}
		of(2).Release(0)
		resize(t, of(2), 1)
		must(of(3).Acquire(t.Context(), 1))
		must(of(0).Acquire(t.Context(), 0))
		of(0).Release(0)
		if of(1).TryAcquire(1) {
			t.Error("Release of 0 released 1")
		}
		of(3).Release(1)
	})
}

// Who waits is served in order, of one process and of several: nobody overtakes, however little it
// wants, and all who fit get in together.
func TestOrder(t *testing.T) {
	for name, one := range map[string]bool{"one process": true, "processes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := bubbleClient(t)
				first := weightedOf(rdb, 10, ample)
				a, b := acquire(t, first, 6), acquire(t, first, 3)
				var line []<-chan semaphore.Result
				for _, n := range []int64{8, 1, 1, 10, 1} {
					s := first
					if !one {
						s = weightedOf(sibling(t, rdb), 10, ample)
					}
					line = append(line, s.AcquireChan(t.Context(), n))
					time.Sleep(10 * time.Millisecond)
				}
				if first.TryAcquire(1) {
					t.Error("TryAcquire overtakes")
				}
				release(t, b) // 6 in use: a small one would fit
				waits(t, line...)
				release(t, a)
				x, y, z := granted(t, line[0]), granted(t, line[1]), granted(t, line[2])
				waits(t, line[3:]...)
				release(t, x)
				release(t, y)
				waits(t, line[3:]...)
				release(t, z)
				w := granted(t, line[3])
				waits(t, line[4])
				release(t, w)
				release(t, granted(t, line[4]))
				rests(t, rdb)
			})
		})
	}
}

// Do releases whatever f does, and tells it of a loss by its ctx.
func TestDo(t *testing.T) {
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
		if err := s.Do(t.Context(), 1, func(ctx context.Context) error {
			rdb.FlushAll(ctx)
			<-ctx.Done()
			return context.Cause(ctx)
		}); !errors.Is(err, semaphore.ErrLost) {
			t.Errorf("Do after a loss returned %v", err)
		}
		if err := s.Do(t.Context(), 3, func(context.Context) error { panic("called") }); !errors.Is(err, semaphore.ErrExceedsSize) {
			t.Errorf("Do of too many returned %v", err)
		}
	})
}

// What several calls of Acquire took can be released in other portions, also at once. The first permit too many panics.
func TestReleaseInPortions(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 20, ample)
		l := acquire(t, s, 3) // which Release does not give back
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
		rests(t, rdb)
	})
}

// A process that acquires as many permits again and again needs no request for it. Another
// process gets them nevertheless.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var sent redistest.Requests
		a, b := semaphore.NewWeighted(rdb, "key", 3), semaphore.NewWeighted(sibling(t, rdb), "key", 3)
		rdb.AddHook(&sent)
		a.Linger = time.Second
		for range 3 {
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
		}
	})
}
