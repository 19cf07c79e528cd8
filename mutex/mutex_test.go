package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// HammerMutex is sync's own, on a Locker that may be either kind.
func HammerMutex(m interface {
	sync.Locker
	TryLock() bool
}, loops int, cdone chan bool) {
	for i := range loops {
		if i%3 == 0 {
			if m.TryLock() {
				m.Unlock()
			}
			continue
		}
		m.Lock()
		m.Unlock() //lint:ignore SA2001 as sync's own test does
	}
	cdone <- true
}

func TestMutex(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		m := mutex.New(rdb, "key")
		m.Lock()
		if m.TryLock() {
			t.Fatal("TryLock succeeded with the mutex locked")
		}
		m.Unlock()
		if !m.TryLock() {
			t.Fatal("TryLock failed with the mutex unlocked")
		}
		m.Unlock()

		c := make(chan bool)
		for range 10 {
			go HammerMutex(m, 1000, c)
		}
		for range 10 {
			<-c
		}
	})
}

// TestDropIn runs a program that was written for sync.Mutex with a Mutex.
func TestDropIn(t *testing.T) {
	count := func(mu sync.Locker) (n int) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					mu.Lock()
					n++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return n
	}
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		if got, want := count(mutex.New(rdb, "key")), count(new(sync.Mutex)); got != want {
			t.Errorf("counted %d, with sync.Mutex %d", got, want)
		}
	})
}

func TestMutexMisuse(t *testing.T) {
	rdb := miniClient(t)
	m := mutex.New(rdb, "key")
	mustPanic(t, "unlock of unlocked mutex", m.Unlock)
	m.Lock()
	m.Unlock() //lint:ignore SA2001 only whether it can be had counts
	mustPanic(t, "unlock of unlocked mutex", m.Unlock)
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustPanic(t, "unlock of unlocked mutex", m.Unlock) // a Lease has its own Unlock
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one about %q", got, want)
		}
	}()
	f()
}

// TestMutexFairness is sync's: who holds the lock for long and wants it again at
// once must not keep another out.
func TestMutexFairness(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		m := mutex.New(rdb, "key")
		stop := make(chan bool)
		var hog sync.WaitGroup
		defer hog.Wait() // or it would find its client closed
		defer close(stop)
		hog.Go(func() {
			for {
				m.Lock()
				<-time.After(100 * time.Microsecond)
				m.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		done := make(chan bool)
		go func() {
			for range 10 {
				<-time.After(100 * time.Microsecond)
				m.Lock()
				m.Unlock() //lint:ignore SA2001 as sync's own test does
			}
			done <- true
		}()
		select {
		case <-done:
		case <-time.After(redistest.Patience):
			t.Fatal("can't acquire Mutex in 10 seconds")
		}
	})
}

// TestMutexOrder has goroutines wait one after the other: they get the lock in
// that order.
func TestMutexOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mutex.New(bubbleClient(t), "key")
		m.Lock()
		var order []int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				m.Lock()
				order = append(order, i)
				m.Unlock()
			})
			synctest.Wait()
		}
		m.Unlock()
		wg.Wait()
		for i, got := range order {
			if got != i {
				t.Fatalf("the order was %v", order)
			}
		}
	})
}

func TestTryLockContext(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		m, other := mutex.New(rdb, "key"), mutex.New(anotherClient(t, rdb), "key")
		l := lock(t, m)
		for _, m := range []*mutex.Mutex{m, other} {
			if l, err := m.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) || l != nil {
				t.Errorf("a try on a held lock: %v, %v", l, err)
			}
		}
		unlock(t, l)
		if l, err := other.TryLockContext(t.Context()); err != nil {
			t.Error(err)
		} else {
			unlock(t, l)
		}
	})
}

func TestLease(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		m := mutex.New(rdb, "key")
		l := lock(t, m)
		if err := l.Err(); err != nil {
			t.Errorf("a held lease has the error %v", err)
		}
		ctx, stop := l.Context(t.Context())
		defer stop()
		select {
		case <-l.Done():
			t.Error("a held lease is done")
		default:
		}
		done := l.Done()
		unlock(t, l)
		<-done
		<-l.Done()
		if !errors.Is(l.Err(), mutex.ErrUnlocked) {
			t.Errorf("an unlocked lease has the error %v", l.Err())
		}
		if ctx.Err() != nil {
			t.Error("Unlock cancels the ctx of the lease, which is for a loss")
		}
		if err := l.Unlock(); !errors.Is(err, mutex.ErrUnlocked) {
			t.Errorf("the second Unlock returned %v", err)
		}
		if next := lock(t, m); next.Fence() <= l.Fence() {
			t.Errorf("fence %d after %d", next.Fence(), l.Fence())
		} else {
			unlock(t, next)
		}
	})
}

// TestLeaseLost takes the key away under a holder.
func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m := mutex.New(rdb, "key")
		l := lock(t, m)
		ctx, stop := l.Context(t.Context())
		defer stop()
		start := time.Now()
		if err := rdb.Set(t.Context(), "key", "another's", 0).Err(); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if got := time.Since(start); got > m.TTL/3+time.Second {
			t.Errorf("was told after %v, the renewal is at %v", got, m.TTL/3)
		}
		<-l.Done()
		if context.Cause(ctx) != mutex.ErrLost || !errors.Is(l.Err(), mutex.ErrLost) || !errors.Is(l.Unlock(), mutex.ErrLost) || !errors.Is(l.Unlock(), mutex.ErrLost) {
			t.Errorf("cause %v, Err %v", context.Cause(ctx), l.Err())
		}
		if got := rdb.Get(t.Context(), "key").Val(); got != "another's" {
			t.Errorf("the key holds %q: Unlock of a lost lease has touched it", got)
		}
		if ctx, stop := l.Context(t.Context()); context.Cause(ctx) != mutex.ErrLost {
			t.Error("the ctx of a lost lease is not cancelled")
		} else {
			stop()
		}
	})
}

// TestRenewed holds a lock for an hour with a TTL of a second.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m := mutex.New(rdb, "key")
		m.TTL = time.Second
		l := lock(t, m)
		time.Sleep(time.Hour)
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
		if left := rdb.PTTL(t.Context(), "key").Val(); left < m.TTL/2 || left > m.TTL {
			t.Errorf("%v left of a TTL of %v", left, m.TTL)
		}
		unlock(t, l)
	})
}

func TestMaxHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mutex.New(bubbleClient(t), "key")
		m.MaxHold = time.Minute
		start := time.Now()
		forgotten := lock(t, m)
		next := lock(t, m)
		if got := time.Since(start); got < m.MaxHold || got > m.MaxHold+m.TTL+2*time.Second {
			t.Errorf("a forgotten lock was held for %v", got)
		}
		if !errors.Is(forgotten.Err(), mutex.ErrLost) {
			t.Errorf("its lease says %v", forgotten.Err())
		}
		unlock(t, next)
	})
}

// TestInsideAfterLoss has two goroutines share one Mutex. A loses its lease and
// goes on: B's Lock waits for A's Unlock, which then does not end B's hold.
func TestInsideAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m := mutex.New(rdb, "key")
		m.TTL = time.Second
		m.Lock()
		rdb.Del(t.Context(), "key")
		entered := make(chan struct{})
		go func() {
			m.Lock()
			close(entered)
		}()
		time.Sleep(time.Minute)
		select {
		case <-entered:
			t.Fatal("two goroutines are inside one Mutex")
		default:
		}
		if rdb.Exists(t.Context(), "key").Val() != 0 {
			t.Error("the lock is held for somebody who cannot use it")
		}
		if m.TryLock() {
			t.Error("TryLock got past the one who is inside")
		}
		m.Unlock() // A's, late
		<-entered
		if rdb.Exists(t.Context(), "key").Val() != 1 {
			t.Error("A's late Unlock has ended B's hold")
		}
		m.Unlock()
	})
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m := mutex.New(rdb, "key")
		failed := errors.New("failed")
		held := func() bool { return rdb.Exists(t.Context(), "key").Val() == 1 }

		if err := m.Do(t.Context(), func(context.Context) error {
			if !held() {
				t.Error("f runs without the lock")
			}
			return failed
		}); err != failed && !errors.Is(err, failed) {
			t.Errorf("Do returned %v", err)
		}
		err := m.Do(t.Context(), func(ctx context.Context) error {
			rdb.Del(ctx, "key")
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Do returned %v after a loss", err)
		}
		mustPanic(t, "oh", func() { _ = m.Do(t.Context(), func(context.Context) error { panic("oh") }) })
		if held() {
			t.Error("a panic of f leaves the lock held")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Do(ctx, func(context.Context) error { t.Error("f was called"); return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestDoneCtxWins as in x/sync/semaphore: a ctx that has ended gets nothing,
// though the lock is free, and asks nobody.
func TestDoneCtxWins(t *testing.T) {
	rdb := miniClient(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	m := mutex.New(rdb, "key")
	_, err1 := m.LockContext(ctx)
	_, err2 := m.TryLockContext(ctx)
	r := <-m.LockChan(ctx)
	for _, err := range []error{err1, err2, r.Err} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !strings.Contains(err.Error(), `"key"`) {
			t.Errorf("the error is %v", err)
		}
	}
	if n := rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

// TestForeign mixes the lock with one written by hand, as redsync and redislock
// write theirs: SET NX PX, and a script that deletes what is one's own.
func TestForeign(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		del := redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)
		setnx := func() bool {
			return rdb.SetArgs(t.Context(), "key", "theirs", redis.SetArgs{Mode: "NX", TTL: time.Minute}).Err() == nil
		}
		m := mutex.New(rdb, "key")
		if !setnx() {
			t.Fatal("cannot lock by hand")
		}
		if m.TryLock() {
			t.Fatal("two hold the key")
		}
		got := m.LockChan(t.Context())
		if n := del.Run(t.Context(), rdb, []string{"key"}, "theirs").Val(); n != int64(1) {
			t.Fatalf("cannot unlock by hand: %v", n)
		}
		r := <-got // nobody tells us: found within the poll bound
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if setnx() {
			t.Error("two hold the key")
		}
		if n := del.Run(t.Context(), rdb, []string{"key"}, "theirs").Val(); n != int64(0) {
			t.Errorf("unlocked by hand what was ours: %v", n)
		}
		unlock(t, r.Lease)
		if !setnx() {
			t.Error("cannot lock by hand after Unlock")
		}
	})
}
