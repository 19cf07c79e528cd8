package mutex_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func lockAll(t *testing.T, p *mutex.Pool, keys ...string) *mutex.Lease {
	t.Helper()
	l, err := p.LockContext(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// held is which of the locks exist.
func held(t *testing.T, rdb *redis.Client, locks ...string) (list string) {
	t.Helper()
	for _, lock := range locks {
		if rdb.Exists(t.Context(), lock).Val() == 1 {
			list += lock
		}
	}
	return list
}

func TestPoolKeys(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := mutex.NewPool(rdb, "")
		l := lockAll(t, p, "c", "a", "b", "a")
		if got := held(t, rdb, "a", "b", "c"); got != "abc" || l.Err() != nil {
			t.Errorf("%q are held, Err is %v", got, l.Err())
		}
		done := l.Done()
		ctx, stop := l.Context(t.Context())
		defer stop()
		unlock(t, l)
		if got := held(t, rdb, "a", "b", "c"); got != "" || !errors.Is(l.Err(), mutex.ErrUnlocked) || !errors.Is(l.Unlock(), mutex.ErrUnlocked) {
			t.Errorf("%q are held, Err is %v", got, l.Err())
		}
		<-done
		<-l.Done()
		if ctx.Err() != nil {
			t.Error("Unlock ends the ctx of the lease")
		}
		ahead := rdb.Time(t.Context()).Val().Add(time.Minute).UnixMicro()
		rdb.Set(t.Context(), "baton:{b}:fence", ahead, time.Hour) // b is the first to be locked
		again := lockAll(t, p, "a", "b", "c")
		if again.Fence() <= l.Fence() {
			t.Errorf("fence %d after %d", again.Fence(), l.Fence())
		}
		for _, key := range []string{"a", "b", "c"} {
			if again.FenceOf(key) <= l.FenceOf(key) || again.FenceOf(key) > again.Fence() {
				t.Errorf("fence of %s is %d after %d, of all %d", key, again.FenceOf(key), l.FenceOf(key), again.Fence())
			}
		}
		unlock(t, again)
		<-again.Done() // asked for late
		bare(t, rdb)
	})
}

func TestPoolFenceOfOneKey(t *testing.T) {
	p := mutex.NewPool(miniClient(t), "p:")
	l := lockAll(t, p, "a", "a")
	if l.FenceOf("a") != l.Fence() || l.FenceOf("p:a") != 0 || l.FenceOf("") != 0 {
		t.Errorf("fence %d, of its key %d", l.Fence(), l.FenceOf("a"))
	}
	unlock(t, l)
}

func TestPoolTryLeavesNothing(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p, other := mutex.NewPool(rdb, ""), mutex.NewPool(anotherClient(t, rdb), "")
		for _, key := range []string{"a", "b", "c"} {
			for _, holder := range []*mutex.Pool{p, other} {
				holder.Lock(key)
				if l, err := p.TryLockContext(t.Context(), "a", "b", "c"); l != nil || !errors.Is(err, mutex.ErrLocked) {
					t.Errorf("%s is held: %v, %v", key, l, err)
				}
				if got := held(t, rdb, "a", "b", "c"); got != key {
					t.Errorf("%s is held, and then %q", key, got)
				}
				holder.Unlock(key)
			}
		}
		l, err := p.TryLockContext(t.Context(), "a", "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, l)
		bare(t, rdb)
	})
}

// TestPoolCancel ends the ctx of a request that has some keys and waits for
// another: what it has is free when the call returns.
func TestPoolCancel(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p, other := mutex.NewPool(rdb, "{p}"), mutex.NewPool(anotherClient(t, rdb), "{p}")
		taken := lockAll(t, other, "b")
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		type result struct {
			*mutex.Lease
			error
		}
		got := make(chan result, 1)
		go func() {
			l, err := p.LockContext(ctx, "a", "b", "c")
			got <- result{l, err}
		}()
		redistest.Eventually(t, 5*time.Second, func() bool {
			return held(t, rdb, "{p}a") != "" && rdb.ZCard(t.Context(), "baton:{p}:queue:{p}b").Val() == 1
		}, "a is not held, or b not awaited")
		if held(t, rdb, "{p}c") != "" {
			t.Error("c is held before b is")
		}
		cancel(why)
		r := <-got
		if r.Lease != nil || !errors.Is(r.error, why) || !errors.Is(r.error, context.Canceled) || !strings.Contains(r.Error(), `"{p}b"`) {
			t.Errorf("got %v, %v", r.Lease, r.error)
		}
		if l, err := other.TryLockContext(t.Context(), "a", "c"); err != nil {
			t.Errorf("what was taken is not free: %v", err)
		} else {
			unlock(t, l)
		}
		unlock(t, taken)
		bare(t, rdb)
	})
}

// TestPoolManyKeys locks ten thousand keys at once, each of them named twice.
func TestPoolManyKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := mutex.NewPool(s.Client(t), "many:")
	p.TTL = time.Minute // a busy machine takes its time
	const n = 10_000
	keys := make([]string, 0, 2*n)
	for i := range 2 * n {
		keys = append(keys, strconv.Itoa(i%n))
	}
	l := lockAll(t, p, keys...)
	if got := s.Do(t, "DBSIZE"); got != int64(2*n) { // with a fence for each
		t.Errorf("%v keys are written", got)
	}
	for _, key := range []string{"0", "5000", "9999"} {
		if l.FenceOf(key) <= 0 {
			t.Errorf("the fence of %s is %d", key, l.FenceOf(key))
		}
	}
	unlock(t, l)
	if got := s.Do(t, "DBSIZE"); got != int64(n) {
		t.Errorf("%v keys are left", got)
	}
}
