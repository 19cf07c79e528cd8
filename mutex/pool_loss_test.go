package mutex_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestPoolLoss takes one of the keys away from a holder: it is told, and keeps
// the others until it unlocks.
func TestPoolLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "")
		l := lockAll(t, p, "a", "b", "c")
		ctx, stop := l.Context(t.Context())
		defer stop()
		done := l.Done()
		time.Sleep(time.Minute) // it is renewed
		if l.Err() != nil {
			t.Fatal(l.Err())
		}
		rdb.Set(t.Context(), "b", "foreign", time.Hour)
		start := time.Now()
		<-done
		<-ctx.Done()
		if took := time.Since(start); took > p.TTL/2 || !errors.Is(l.Err(), mutex.ErrLost) || context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("after %v Err is %v, the cause %v", took, l.Err(), context.Cause(ctx))
		}
		time.Sleep(time.Minute)
		if got := held(t, rdb, "a", "b", "c"); got != "abc" {
			t.Errorf("after a loss %q are held", got)
		}
		if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Unlock returns %v", err)
		}
		if got := held(t, rdb, "a", "b", "c"); got != "b" {
			t.Errorf("after Unlock %q are held", got)
		}
		if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("a second Unlock returns %v", err)
		}
	})
}

// TestPoolLossWhileWaiting takes a key away from a request that waits for
// another: it starts over, and ends up with both.
func TestPoolLossWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p, other := mutex.NewPool(rdb, "{p}"), mutex.NewPool(bubbleSibling(t, rdb), "{p}")
		b := lockAll(t, other, "b")
		for _, request := range []func() (*mutex.Lease, error){
			func() (*mutex.Lease, error) { return p.LockContext(t.Context(), "a", "b") },
			func() (*mutex.Lease, error) { r := <-p.LockChan(t.Context(), "a", "b"); return r.Lease, r.Err },
		} {
			got := make(chan *mutex.Lease)
			go func() {
				l, err := request()
				if err != nil {
					t.Error(err)
				}
				got <- l
			}()
			time.Sleep(time.Minute) // a is renewed meanwhile
			rdb.Del(t.Context(), "{p}a")
			a := lockAll(t, other, "a")
			time.Sleep(p.TTL) // it finds out, gives its place at b up, and waits for a
			if n := rdb.ZCard(t.Context(), "baton:{p}:queue:{p}b").Val(); n != 0 {
				t.Errorf("%d wait for b, without a", n)
			}
			unlock(t, b)
			unlock(t, lockAll(t, other, "b")) // so that it is free
			unlock(t, a)
			l := <-got
			if got := held(t, rdb, "{p}a", "{p}b"); got != "{p}a{p}b" || l.Err() != nil {
				t.Errorf("%q are held, Err is %v", got, l.Err())
			}
			unlock(t, l)
			b = lockAll(t, other, "b")
		}
		unlock(t, b)
	})
}

// TestPoolMaxHold counts from when all keys are held.
func TestPoolMaxHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p, other := mutex.NewPool(rdb, "{p}"), mutex.NewPool(bubbleSibling(t, rdb), "{p}")
		p.MaxHold = time.Minute
		b := lockAll(t, other, "b")
		got := p.LockChan(t.Context(), "a", "b")
		time.Sleep(time.Second)
		a := rdb.Get(t.Context(), "{p}a").Val()
		time.Sleep(10 * time.Minute)
		if got := rdb.Get(t.Context(), "{p}a").Val(); got != a || a == "" {
			t.Errorf("while it waits for b, a was held by %s and is by %s", a, got)
		}
		unlock(t, b)
		r := <-got
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		start := time.Now()
		<-r.Lease.Done()
		if took := time.Since(start); took < p.MaxHold || took > p.MaxHold+p.TTL {
			t.Errorf("the hold lasted %v", took)
		}
		if err := r.Lease.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Unlock returns %v", err)
		}
	})
}
