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

// fleet returns n reader/writer locks of n processes, in a bubble.
func fleet(t *testing.T, n int) (all []*mutex.RWMutex) {
	t.Helper()
	rdb := bubbleClient(t)
	for range n {
		all = append(all, mutex.NewRW(sibling(t, rdb), "key"))
	}
	return all
}

// Readers of all processes share the lock. A waiting writer keeps out new readers of all processes,
// and is the next holder.
func TestRWMutexWriterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := fleet(t, 3)
		a, b, c := all[0], all[1], all[2]
		for _, w := range []*mutex.RWMutex{a, b} { // where the writer is
			readers := []*mutex.Lease{rlock(t, a)}
			unlock(t, rlock(t, c))
			time.Sleep(2 * time.Millisecond) // longer than a time slice: the next reader to join makes a subscribe
			readers = append(readers, rlock(t, a))
			if !a.TryRLock() {
				t.Error("no reader can join")
			}
			a.RUnlock()
			writer := w.LockChan(t.Context())
			time.Sleep(10 * time.Millisecond)
			if w == b && (a.TryRLock() || b.TryRLock() || c.TryRLock()) || w.TryLock() || w.TryRLock() {
				t.Error("a try succeeds while a writer waits")
			}
			late := []<-chan mutex.Result{w.RLockChan(t.Context())}
			if w == b {
				late = append(late, a.RLockChan(t.Context()), c.RLockChan(t.Context()))
			}
			for _, r := range readers {
				time.Sleep(time.Minute)
				notGranted(t, append(late, writer)...)
				unlock(t, r)
			}
			h := granted(t, writer)
			time.Sleep(time.Minute)
			notGranted(t, late...)
			unlock(t, h)
			for _, l := range late {
				unlock(t, granted(t, l))
			}
		}
	})
}

// More readers may join than a grant has fences. Fences never decrease, and the next writer's is greater.
func TestRWMutexManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fleet(t, 1)[0]
		first := lock(t, m)
		unlock(t, first)
		fence := first.Fence() + 1
		var readers []*mutex.Lease
		for range 3000 {
			l := rlock(t, m)
			if l.Fence() < fence {
				t.Fatalf("fence %d after %d", l.Fence(), fence)
			}
			fence = l.Fence()
			readers = append(readers, l)
		}
		for _, l := range readers {
			unlock(t, l)
		}
		last := lock(t, m)
		if last.Fence() <= fence {
			t.Errorf("a writer's fence is %d, after a reader's %d", last.Fence(), fence)
		}
		unlock(t, last)
	})
}

// A lost reader does not keep out others. The first RUnlock ends the lost hold.
func TestRWMutexReadersAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := mutex.NewRW(rdb, "key"), mutex.NewRW(sibling(t, rdb), "key")
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

// A forgotten RUnlock keeps writers out until MaxHold after the last RLock. The end of a forgotten
// lease does not affect other leases.
func TestRWMutexForgottenReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, endless, other := mutex.NewRW(rdb, "key"), mutex.NewRW(rdb, "key"), mutex.NewRW(sibling(t, rdb), "key")
		m.MaxHold = time.Minute
		forgotten, kept := rlock(t, m), rlock(t, endless)
		<-forgotten.Done()
		writer := other.LockChan(t.Context())
		time.Sleep(m.MaxHold)
		notGranted(t, writer)
		unlock(t, kept)
		unlock(t, granted(t, writer))

		m.RLock()
		for range 10 {
			time.Sleep(m.MaxHold / 2)
			m.RLock()
			m.RUnlock() //lint:ignore SA2001 only the hold matters
		}
		last := time.Now()
		h := lock(t, other)
		if took := time.Since(last); took > m.MaxHold+m.TTL+poll {
			t.Errorf("a forgotten RUnlock kept a writer out for %v", took)
		}
		m.RUnlock()
		unlock(t, h)
	})
}

// When a writer hands over to readers of its process, they may unlock before the request about the
// hand-over reaches Redis.
func TestRWMutexUnlockOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var late atomic.Int32 // number of requests to delay
		resume := make(chan struct{})
		rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if late.Add(-1) >= 0 {
				<-resume
			}
			return next(ctx, cmd)
		}))
		m := mutex.NewRW(rdb, "key")
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
