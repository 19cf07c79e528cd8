package gocronlock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/adaptertest"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func TestExamples(t *testing.T) { adaptertest.Examples(t) }

// newLocker returns a locker with a client of its own, like another process.
func newLocker(t *testing.T, rdb *redis.Client, every time.Duration) *gocronlock.Locker {
	return gocronlock.NewLocker(redistest.Sibling(t, rdb), "cron:", every)
}

// TestLockerRunsOnce runs a job of 1 ms every minute in two schedulers, for ten minutes. The second
// scheduler is 200 ms late, like a process with another clock or start time.
func TestLockerRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.MiniClient(t, redistest.Mini(t))
		var runs, skipped atomic.Int32
		for range 2 {
			s, err := gocron.NewScheduler(gocron.WithDistributedLocker(newLocker(t, rdb, 30*time.Second)))
			adaptertest.Check(t, err)
			defer s.Shutdown()
			_, err = s.NewJob(gocron.DurationJob(time.Minute), gocron.NewTask(func() {
				time.Sleep(time.Millisecond)
				runs.Add(1)
			}), gocron.WithName("job"), gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) {
				if !errors.Is(err, mutex.ErrLocked) {
					t.Errorf("skipped because of %v", err)
				}
				skipped.Add(1)
			})))
			adaptertest.Check(t, err)
			s.Start()
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(10*time.Minute + 30*time.Second)
		if runs.Load() != 10 || skipped.Load() != 10 {
			t.Errorf("%d runs, %d skipped", runs.Load(), skipped.Load())
		}
	})
}

func TestLockerContended(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		const every = 200 * time.Millisecond
		ours, theirs := newLocker(t, rdb, every), newLocker(t, rdb, every)
		start := time.Now()
		lock, err := ours.Lock(t.Context(), "job")
		adaptertest.Check(t, err)
		if _, err := theirs.Lock(t.Context(), "job"); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("Lock of a running job: %v", err)
		}
		other, err := theirs.Lock(t.Context(), "another job")
		adaptertest.Check(t, err)
		adaptertest.Check(t, errors.Join(other.Unlock(t.Context()), lock.Unlock(t.Context())))
		if err := other.Unlock(t.Context()); !errors.Is(err, mutex.ErrUnlocked) {
			t.Errorf("second Unlock: %v", err)
		}
		redistest.Eventually(t, redistest.Patience, func() bool {
			lock, err = theirs.Lock(t.Context(), "job")
			return err == nil
		}, "the job can be locked again")
		if passed := time.Since(start); passed < every {
			t.Errorf("the job runs again after %v", passed)
		}
		adaptertest.Check(t, lock.Unlock(t.Context()))
	})
}

func TestLockerLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		locker := gocronlock.NewLocker(rdb, "cron:", time.Minute)
		locker.TTL = 300 * time.Millisecond
		lock, err := locker.Lock(t.Context(), "job")
		adaptertest.Check(t, err)
		ctx, stop := locker.Context(t.Context(), "job")
		defer stop()
		rdb.Del(t.Context(), "cron:job")
		<-ctx.Done()
		if err := lock.Unlock(t.Context()); !errors.Is(err, mutex.ErrLost) || context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("Unlock: %v, the job's ctx: %v", err, context.Cause(ctx))
		}
		ctx, stop = locker.Context(t.Context(), "job")
		defer stop()
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the ctx of a job that is not locked: %v", context.Cause(ctx))
		}
	})
}
