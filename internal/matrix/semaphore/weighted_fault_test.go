package semaphore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestFaultWeightedLost loses each kind of command or its reply. No permit is counted twice.
func TestFaultWeightedLost(t *testing.T) {
	t.Parallel()
	kit.RunTogether(t, kit.Losses, func(t *testing.T, f kit.Loss) {
		s, p := kit.StartWithProxy(t)
		rdb := s.Client(t)
		sem := weightedOf(p.Client(t, kit.Impatient), 10, 3*time.Second)
		release(t, acquire(t, weightedOf(rdb, 10, ample), 1)) // loads the scripts
		step := func(desc string, do func(), want ...int64) {
			t.Helper()
			f.Lose(p)
			start := time.Now()
			do()
			checkBound(t, desc, start, 2*f.Wait) // a busy machine may also treat the next reply as lost
			checkWeights(t, rdb, desc, want...)
		}
		var l *semaphore.Lease
		step("to acquire", func() { must(sem.Acquire(t.Context(), 3)) }, 3)
		step("to raise", func() { l = acquire(t, sem, 2) }, 5)
		step("to raise again", func() { must(sem.Acquire(t.Context(), 4)) }, 9)
		step("to lower", func() { sem.Release(2) }, 7)
		step("to lower by a lease", func() { release(t, l) }, 5)
		before := f.Count(p.Faults())
		f.Lose(p)
		redistest.Eventually(t, 3*time.Second, func() bool { return f.Count(p.Faults()) > before }, "the hold is renewed")
		checkWeights(t, rdb, "to renew", 5)
		step("to lower by portions", func() { sem.Release(3) }, 2)
		step("to release", func() { sem.Release(2) })

		f.Lose(p)
		if sem.TryAcquire(1) { // the request was repeated
			sem.Release(1)
		}
		used := func() int64 { _, used := stored(rdb); return used }
		redistest.Eventually(t, f.Wait+kit.Slack, func() bool { return used() == 0 }, "a try leaves no permits")
		must(sem.Acquire(t.Context(), 4))
		f.Lose(p)
		if sem.TryAcquire(1) { // the request was repeated
			sem.Release(1)
		}
		redistest.Eventually(t, f.Wait+kit.Slack, func() bool { return used() == 4 }, "a try for more permits leaves no permits")
		sem.Release(4)
		if n := f.Count(p.Faults()); n != 10 {
			t.Errorf("the fault took place %d times", n)
		}
		expectNothingLeft(t, rdb, poll)
	})
}

// TestFaultWeightedTwice runs each script twice. After each change, it runs all earlier scripts again, in
// both orders. The repetitions change nothing.
func TestFaultWeightedTwice(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		plain, other := redis.NewClient(rdb.Options()), redis.NewClient(rdb.Options())
		defer plain.Close()
		defer other.Close()
		var mu sync.Mutex
		var all []redis.Cmder
		double := redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			mu.Lock()
			defer mu.Unlock()
			if err := next(ctx, cmd); err != nil {
				return err
			}
			all = append(all, cmd.Clone())
			return next(ctx, cmd.Clone())
		})
		rdb.AddHook(double)
		again := func(when string, want ...int64) {
			t.Helper()
			checkWeights(t, plain, when, want...)
			mu.Lock()
			defer mu.Unlock()
			for i := range all {
				for _, cmd := range []redis.Cmder{all[i], all[len(all)-1-i]} {
					_ = plain.Process(t.Context(), cmd.Clone())
				}
			}
			checkWeights(t, plain, when+", and all again", want...)
		}
		sem := weightedOf(rdb, 10, ample)
		must(sem.Acquire(t.Context(), 3))
		again("acquired", 3)
		must(sem.Acquire(t.Context(), 2))
		again("raised", 5)
		sem.Release(4)
		again("lowered", 1)
		rivalLease := acquire(t, weightedOf(other, 10, ample), 8)
		more := enqueue(t, plain, sem, 2, 1)
		again("queued", 1, 8)
		release(t, rivalLease)
		last := <-more
		must(last.Err)
		again("handed over", 3)
		sem.Release(1)
		release(t, acquire(t, sem, 1))
		again("lowered again", 2)
		release(t, last.Lease)
	})
}

// TestFaultWeightedInside loses permits that were acquired by Acquire. In the same Weighted they count
// until Release, in other processes they do not.
func TestFaultWeightedInside(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	rdb := s.Client(t)
	sem, other := weightedOf(p.Client(t), 5, ttl), weightedOf(rdb, 5, ample)
	must(sem.Acquire(t.Context(), 3))
	lost := acquire(t, sem, 1)
	next := enqueue(t, rdb, other, 5, 1)
	p.Refuse(true)
	release(t, receive(t, "to acquire the lost permits", next, ttl+poll))
	p.Refuse(false)
	expectLoss(t, lost, time.Now(), 0)

	must(sem.Acquire(t.Context(), 2)) // 5 of 5 are inside
	in := make(chan error)
	go func() { in <- sem.Acquire(t.Context(), 1) }()
	waits := func(d time.Duration) {
		t.Helper()
		kit.ExpectNone(t, "a sixth holder of 5 permits in one Weighted", in, d)
	}
	waits(200 * time.Millisecond)
	if sem.TryAcquire(1) {
		t.Error("TryAcquire succeeds with 5 of 5 permits in use")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := sem.Acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acquire returned %v", err)
	}
	release(t, acquire(t, other, 3)) // in another process, they are free
	waits(0)
	sem.Release(1) // releases the oldest permits, which are lost
	must(<-in)
	sem.Release(5)
	if redistest.Outcome(func() error { sem.Release(1); return nil }) == nil {
		t.Error("Release of unheld permits did not panic")
	}
	expectNothingLeft(t, rdb, poll)
}
