package mutex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// The end of ctx ends a wait, and immediately releases a lock that was not received. It does not end
// a hold.
func TestLockChanCancelled(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l, other := k.of(rdb, "key", standard), k.rival().of(sibling(t, rdb), "key", standard)
		ctx, cancel := context.WithCancelCause(t.Context())
		first := other.hold(t)
		waiting := l.lockChan(ctx)
		awaitWaiters(t, other.inspect, 1)
		unlock(t, first)
		time.Sleep(time.Second) // granted, but not received
		next := other.lockChan(t.Context())
		time.Sleep(time.Second)
		notGranted(t, next)
		cancel(errF)
		unlock(t, granted(t, next))
		if r := <-waiting; r.Lease != nil || !errors.Is(r.Err, errF) || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("LockChan yields %v", r)
		}

		ctx, cancel = context.WithCancelCause(t.Context())
		waiting = l.lockChan(ctx)
		time.Sleep(mutex.DefaultTTL * 9 / 10)
		h := receive(t, waiting) // renewed from now on
		cancel(errF)
		time.Sleep(time.Minute)
		unlock(t, h)
	})
}

// A lock that is not received is not renewed. After one TTL it is free, and the channel yields ErrLost.
func TestLockChanAbandoned(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		other := k.rival().of(sibling(t, rdb), "key", standard)
		abandoned := k.of(rdb, "key", standard).lockChan(context.Background())
		time.Sleep(time.Millisecond)
		start := time.Now()
		unlock(t, other.hold(t))
		if took := time.Since(start); took > mutex.DefaultTTL || took < mutex.DefaultTTL/2 {
			t.Errorf("the lock was held for %v", took)
		}
		time.Sleep(time.Hour)
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) || len(abandoned) > 0 {
			t.Errorf("the channel yields %v, and %d more results", r, len(abandoned))
		}
	})
}

// The channel of a lock that is lost before it is received yields ErrLost. The loss of one of several
// keys releases the others.
func TestLockChanLost(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		c := k.of(rdb, "key", standard).lockChan(t.Context())
		time.Sleep(mutex.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		time.Sleep(mutex.DefaultTTL)
		if r := <-c; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) || heldKeys(t, rdb, second+"key") != "" {
			t.Errorf("the channel yields %v, and %q is held", r, heldKeys(t, rdb, second+"key"))
		}
	})
}
