package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// Each key of a pool is a separate lock: the lock of a Mutex with that key. A lease holds all its keys,
// each once, with its own fence. A try locks all keys or none.
func TestPool(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p, other := mutex.NewPool(rdb, "account:"), mutex.NewPool(sibling(t, rdb), "")
		held := func(want string) {
			t.Helper()
			if got := heldKeys(t, rdb, "account:a", "account:b", "account:c"); got != want {
				t.Errorf("%q are held, want %q", got, want)
			}
		}
		p.Lock("a")
		p.Lock("b")
		if held("account:aaccount:b"); p.TryLock("a") || mutex.New(rdb, "account:a").TryLock() {
			t.Error("key a is locked twice")
		}
		p.Unlock("a")
		p.Unlock("b")
		for _, key := range []string{"a", "b", "c"} {
			for holder, name := range map[*mutex.Pool]string{p: key, other: "account:" + key} {
				holder.Lock(name)
				if l, err := p.TryLockContext(t.Context(), "a", "b", "c"); l != nil || !errors.Is(err, mutex.ErrLocked) {
					t.Errorf("%s is held: %v, %v", key, l, err)
				}
				held("account:" + key)
				holder.Unlock(name)
			}
		}

		l := lockAll(t, p, "c", "a", "b", "a")
		held("account:aaccount:baccount:c")
		if l.FenceOf("d") != 0 || l.FenceOf("") != 0 {
			t.Error("FenceOf another key is not 0")
		}
		unlock(t, l)
		held("")
		ahead := rdb.Time(t.Context()).Val().Add(time.Minute).UnixMicro()
		rdb.Set(t.Context(), "baton:{account:b}:fence", ahead, time.Hour)
		again := lockAll(t, p, "a", "b", "c")
		for _, key := range []string{"a", "b", "c"} {
			if again.FenceOf(key) <= l.FenceOf(key) || again.FenceOf(key) > again.Fence() || again.Fence() <= l.Fence() {
				t.Errorf("the fence of %s is %d after %d, the lease's fence is %d", key, again.FenceOf(key), l.FenceOf(key), again.Fence())
			}
		}
		unlock(t, again)
		awaitEmpty(t, rdb)
	})
}

// When ctx ends during the wait for a key, the call releases the keys that it has locked, and returns.
func TestPoolCancel(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p, other := mutex.NewPool(rdb, "{p}"), mutex.NewPool(sibling(t, rdb), "{p}")
		taken := lockAll(t, other, "b")
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan mutex.Result, 1)
		go func() {
			l, err := p.LockContext(ctx, "a", "b", "c")
			got <- mutex.Result{Lease: l, Err: err}
		}()
		redistest.Eventually(t, redistest.Patience, func() bool {
			return heldKeys(t, rdb, "{p}a") != "" && rdb.ZCard(t.Context(), "baton:{p}:queue:{p}b").Val() == 1
		}, "a is held, and b has a waiter")
		if heldKeys(t, rdb, "{p}c") != "" {
			t.Error("c is held before b")
		}
		cancel(why)
		if r := <-got; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) || !strings.Contains(r.Err.Error(), `"{p}b"`) {
			t.Errorf("got %v", r)
		}
		redistest.Eventually(t, redistest.Patience, func() bool { // the call waits for a slow Redis only briefly
			l, err := other.TryLockContext(t.Context(), "a", "c")
			if err == nil {
				unlock(t, l)
			}
			return err == nil
		}, "a and c are free")
		unlock(t, taken)
		awaitEmpty(t, rdb)
	})
}

// A key that is lost during the wait for the next key is locked again.
func TestPoolLossWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p, other := mutex.NewPool(rdb, "{p}"), mutex.NewPool(sibling(t, rdb), "{p}")
		b := lockAll(t, other, "b")
		for _, request := range []func() (*mutex.Lease, error){
			func() (*mutex.Lease, error) { return p.LockContext(t.Context(), "a", "b") },
			func() (*mutex.Lease, error) { r := <-p.LockChan(t.Context(), "a", "b"); return r.Lease, r.Err },
		} {
			got := make(chan *mutex.Lease)
			go func() {
				l, err := request()
				must(err)
				got <- l
			}()
			time.Sleep(time.Minute) // with renewals of a
			rdb.Del(t.Context(), "{p}a")
			a := lockAll(t, other, "a")
			time.Sleep(p.TTL) // the waiter notices, leaves the queue of b, and waits for a
			if n := rdb.ZCard(t.Context(), "baton:{p}:queue:{p}b").Val(); n != 0 {
				t.Errorf("%d processes wait for b, without a", n)
			}
			unlock(t, b)
			unlock(t, lockAll(t, other, "b")) // checks that b is free
			unlock(t, a)
			l := <-got
			if got := heldKeys(t, rdb, "{p}a", "{p}b"); got != "{p}a{p}b" || l.Err() != nil {
				t.Errorf("%q are held, Err is %v", got, l.Err())
			}
			unlock(t, l)
			b = lockAll(t, other, "b")
		}
		unlock(t, b)
	})
}

// A pool keeps only keys in memory that are locked or have waiters.
func TestPoolRemovesUnusedKeys(t *testing.T) {
	p := mutex.NewPool(redistest.MiniClient(t, redistest.Mini(t)), "")
	const keys = 200
	for i := range keys {
		p.Lock(fmt.Sprint(i))
	}
	if n := p.Entries(); n != keys {
		t.Errorf("%d of %d keys are in memory", n, keys)
	}
	for i := range keys {
		p.Unlock(fmt.Sprint(i))
	}
	mustPanic(t, "unlock of unlocked", func() { p.Unlock("0") })
	mustPanic(t, "the key is empty", func() { p.Lock("") })
	mustPanic(t, "the key is empty", func() { p.TryLock("") })
	if n := p.Entries(); n != 0 {
		t.Errorf("%d keys are left in memory", n)
	}
}
