package mutex_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRWMutexFaultAway has Redis away: Lock and RLock wait for it, those who are
// inside are told in time, and Unlock after the loss does not panic.
func TestRWMutexFaultAway(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(m *mutex.RWMutex) (lock, unlock func()){
		"Writer": func(m *mutex.RWMutex) (lock, unlock func()) { return m.Lock, m.Unlock },
		"Reader": func(m *mutex.RWMutex) (lock, unlock func()) { return m.RLock, m.RUnlock },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mini := redistest.Mini(t)
				t.Cleanup(func() { time.Sleep(time.Second) })
				var away gate
				rdb := redistest.MiniClient(t, mini)
				rdb.AddHook(&away)
				m := mutex.NewRW(rdb, "key")
				lock, unlockIt := kind(m)
				lock()
				away.shut.Store(true)
				another := mutex.NewRW(rdb, "another")
				entered := make(chan struct{})
				lockAnother, unlockAnother := kind(another)
				go func() {
					lockAnother()
					close(entered)
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if _, err := mutex.NewRW(rdb, "third").RLockContext(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), errShut.Error()) {
					t.Errorf("ctx has ended, and the error is %v", err)
				}
				if mutex.NewRW(rdb, "fourth").TryLock() {
					t.Error("TryLock succeeds without Redis")
				}
				time.Sleep(time.Hour)
				select {
				case <-entered:
					t.Fatal("locked without Redis")
				default:
				}
				start := time.Now()
				unlockIt()
				if took := time.Since(start); took > 0 {
					t.Errorf("Unlock of what was lost took %v", took)
				}
				mustPanic(t, "of unlocked RWMutex", unlockIt)
				away.shut.Store(false)
				<-entered
				if took := time.Since(start); took > poll {
					t.Errorf("to lock took %v after Redis was back", took)
				}
				unlockAnother()
			})
		})
	}
}

// TestRWMutexUnlockOvertaken has a writer hand over to readers of its process, whose
// statement to Redis is still under way when the last of them has left: nobody
// has lost anything.
func TestRWMutexUnlockOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var held atomic.Int32 // how many requests are yet to be held up
		through := make(chan struct{})
		rdb.AddHook(hook(func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			if held.Add(-1) >= 0 {
				<-through
			}
			return next(ctx, cmd)
		}))
		m := mutex.NewRW(rdb, "key")
		unlock(t, wlock(t, m)) // the scripts are known
		w := wlock(t, m)
		first, second := m.RLockChan(t.Context()), m.RLockChan(t.Context())
		synctest.Wait()
		held.Store(2)
		errs := make(chan error, 3)
		end := func(l *mutex.Lease) {
			go func() { errs <- l.Unlock() }()
			synctest.Wait()
		}
		end(w)
		end((<-first).Lease)
		end((<-second).Lease)
		close(through)
		for range 3 {
			if err := <-errs; err != nil {
				t.Errorf("Unlock: %v", err)
			}
		}
		if n := rdb.HLen(t.Context(), "key").Val(); n != 1 {
			t.Errorf("%d are left", n-1)
		}
	})
}
