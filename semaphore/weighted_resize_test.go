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

// A process that expects another size is refused whatever it does, for as long as the size is known.
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
				weighs(t, rdb, "one has 1", 1)
				a.Release(1)
			}
		}
		rests(t, rdb)
	})
}

// The size is forgotten 65 minutes after the last use, and never while permits are in use.
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

// A request for more than the size fails at once, and those behind it go on.
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
		rests(t, rdb)
	})
}

// A larger size lets in whoever fits, by one message each. Afterwards processes may expect the
// size of the beginning, or the size that there is.
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
		t.Errorf("%d messages were sent to two", n)
	}
	if len(third) > 0 {
		t.Error("16 of 15 are in use")
	}
	weighs(t, rdb, "after it", 10, 3, 2)
	release(t, x)
	for _, l := range []*semaphore.Lease{receive(t, third), y, held} {
		release(t, l)
	}
	for size, ok := range map[int64]bool{10: true, 15: true, 20: false} {
		for where, client := range map[string]*redis.Client{"here": rdb, "elsewhere": s.Client(t)} {
			w := weightedOf(client, size, ample)
			if err := w.Acquire(t.Context(), 12); (err == nil) != ok || err != nil && !errors.Is(err, semaphore.ErrSizeMismatch) {
				t.Errorf("%d expected %s: %v", size, where, err)
			} else if ok {
				w.Release(12)
			}
		}
	}
	rests(t, rdb)
}

// A smaller size takes nothing away, and lets nobody in until enough came back. Who waits for more
// than there is now is told so, and the rest goes on.
func TestResizeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a := weightedOf(rdb, 10, time.Second)
		x, y, z := acquire(t, a, 4), acquire(t, a, 3), acquire(t, a, 1)
		var line []<-chan semaphore.Result
		for i, n := range []int64{8, 2, 7, 1} {
			line = append(line, queued(t, rdb, weightedOf(sibling(t, rdb), 10, ample), n, int64(i+1)))
		}
		resize(t, weightedOf(sibling(t, rdb), 10, ample), 5)
		for _, c := range []<-chan semaphore.Result{line[0], line[2]} {
			if r := <-c; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("8 or 7 of 5 yields %v", r)
			}
		}
		if a.TryAcquire(1) {
			t.Error("somebody is let in, though 8 of 5 are in use")
		}
		release(t, y) // 5 of 5
		waits(t, line[1], line[3])
		release(t, z)
		waits(t, line[1], line[3])
		weighs(t, rdb, "no hold was lost", 4)
		release(t, x)
		two := granted(t, line[1])
		release(t, granted(t, line[3]))
		release(t, two)
		rests(t, rdb)
	})
}

// Ten calls of Acquire that wait for more than the size make one request in two times
// MaxPollInterval together. After a Resize one of them succeeds.
func TestResizeAboveAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var sent redistest.Requests
		rdb.AddHook(&sent)
		s := weightedOf(rdb, 2, time.Hour) // not renewed meanwhile
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		acquired := make(chan error)
		for range 10 {
			go func() { acquired <- s.Acquire(ctx, 3) }()
		}
		time.Sleep(100 * lease.MaxPollInterval) // until each waits ten times as long as it would alone
		sent.Swap(0)
		time.Sleep(100 * lease.MaxPollInterval)
		if n := sent.Swap(0); n < 45 || n > 52 {
			t.Errorf("%d requests in 100 times MaxPollInterval", n)
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
		rests(t, rdb)
	})
}

// Resize waits for Redis to come back, and gives up when its ctx ends.
func TestResizeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var away redistest.Outage
		rdb.AddHook(&away)
		w := weightedOf(rdb, 2, ample)
		away.Set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			if err := w.Resize(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Resize without Redis: %v", err)
			}
		}
		time.AfterFunc(time.Minute, func() { away.Set(false) })
		resize(t, w, 3)
		release(t, acquire(t, w, 3))
	})
}

// After a Resize, Acquire looks at the leases inside only if one of them was lost: its cost does not
// grow with them.
func TestAcquireAfterResizeLooksAtNobody(t *testing.T) {
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

// Who is inside without permits, as they were lost, keeps others of its process out until its Release.
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
			t.Error("who has lost its permits is not waited for")
		}
		s.Release(2)
		must(s.Acquire(t.Context(), 2))
		s.Release(2)
	})
}
