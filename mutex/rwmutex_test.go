package mutex_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func newRW(rdb redis.UniversalClient) *mutex.RWMutex { return mutex.NewRW(rdb, "key") }

// A lost reader does not keep out others. The first RUnlock ends the lost hold.
func TestRWMutexReadersAfterLoss(t *testing.T) {
	bubblePair(t, newRW, func(t *testing.T, rdb, _ *redis.Client, m, other *mutex.RWMutex) {
		m.RLock()
		must(rdb.Del(t.Context(), "key").Err())
		time.Sleep(m.TTL)
		m.RLock()
		m.RUnlock() //lint:ignore SA2001 ends the lost hold
		if other.TryLock() {
			t.Error("the second reader does not hold the lock")
		}
		m.RUnlock()
		if !other.TryLock() {
			t.Fatal("the lock is held after the last RUnlock")
		}
		other.Unlock()
	})
}

// When a writer hands over to readers of its process, they may unlock before the request about the
// hand-over reaches Redis.
func TestRWMutexUnlockOvertaken(t *testing.T) {
	bubblePair(t, newRW, func(t *testing.T, rdb, _ *redis.Client, m, _ *mutex.RWMutex) {
		var late atomic.Int32 // number of requests to delay
		resume := make(chan struct{})
		rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if late.Add(-1) >= 0 {
				<-resume
			}
			return next(ctx, cmd)
		}))
		unlock(t, lock(t, m)) // the server learns the scripts
		w := lock(t, m)
		first, second := m.RLockChan(t.Context()), m.RLockChan(t.Context())
		synctest.Wait()
		late.Store(2)
		errs := make(chan error, 3)
		end := func(l *mutex.Lease) {
			go func() { errs <- l.Unlock() }()
			synctest.Wait()
		}
		end(w)
		end((<-first).Lease)
		end((<-second).Lease)
		close(resume)
		for range 3 {
			if err := <-errs; err != nil {
				t.Errorf("Unlock: %v", err)
			}
		}
		if n := rdb.HLen(t.Context(), "key").Val(); n != 1 {
			t.Errorf("%d holders are left", n-1)
		}
	})
}

// After a forgotten RUnlock, MaxHold counts from the last RLock.
func TestRWMutexForgottenRUnlock(t *testing.T) {
	bubblePair(t, newRW, func(t *testing.T, _, _ *redis.Client, m, other *mutex.RWMutex) {
		m.MaxHold = time.Minute
		m.RLock()
		for range 10 {
			time.Sleep(m.MaxHold / 2)
			m.RLock()
			m.RUnlock() //lint:ignore SA2001 only the hold matters
		}
		last := time.Now()
		h := lock(t, other)
		if took := time.Since(last); took < m.MaxHold || took > m.MaxHold+m.TTL+poll {
			t.Errorf("a writer waits for %v", took)
		}
		m.RUnlock()
		unlock(t, h)
	})
}
