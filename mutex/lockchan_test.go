package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The end of ctx ends a wait, and immediately releases a lock that was not received. It does not end
// a hold.
func TestLockChanCancelled(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l, other, third := k.of(rdb, "key", standard), k.rival().of(sibling(t, rdb), "key", standard), k.rival().of(sibling(t, rdb), "key", standard)
		why := errors.New("why")
		cancelled := func(what string, c <-chan mutex.Result) {
			t.Helper()
			if r := <-c; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
				t.Errorf("%s yields %v", what, r)
			}
		}
		first := other.hold(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		c := l.lockChan(ctx)
		awaitWaiters(t, other.inspect, 1)
		next := third.lockChan(t.Context())
		awaitWaiters(t, other.inspect, 2)
		cancel(why)
		cancelled("a wait", c)
		notGranted(t, next)
		unlock(t, first)
		unlock(t, granted(t, next))

		ctx, cancel = context.WithCancelCause(t.Context())
		c = l.lockChan(ctx)
		time.Sleep(time.Second) // granted, but not received
		next = other.lockChan(t.Context())
		time.Sleep(time.Second)
		notGranted(t, next)
		cancel(why)
		unlock(t, granted(t, next))
		cancelled("a lock that was not received", c)

		ctx, cancel = context.WithCancelCause(t.Context())
		c = l.lockChan(ctx)
		time.Sleep(mutex.DefaultTTL * 9 / 10)
		h := receive(t, c) // renewed from now on
		cancel(why)
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

// Thousands of selects in four processes receive, time out, are cancelled at any moment, or receive
// late. Holders exclude each other, each channel yields one result, and nothing is left in Redis.
func TestSelect(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	const clients, loops = 4, 8
	selects := 60
	if testing.Short() {
		selects /= 20
	}
	// Readers + 1000 × writers of "a", "b" and "rw". A request may lock both "a" and "b".
	var inside [3]atomic.Int32
	var granted, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	for range clients {
		rdb := s.Client(t)
		requests := []struct {
			lock  func(context.Context) <-chan mutex.Result
			locks []int // indexes of inside
			adds  int32
		}{
			{mutexOf(rdb, "a").LockChan, []int{0}, 1000}, {mutexOf(rdb, "b").LockChan, []int{1}, 1000},
			{poolOf(rdb, longTTL, "a").lockChan, []int{0}, 1000}, {poolOf(rdb, longTTL, "b", "a").lockChan, []int{0, 1}, 1000},
			{rwOf(rdb, "rw", longTTL).LockChan, []int{2}, 1000}, {rwOf(rdb, "rw", longTTL).RLockChan, []int{2}, 1},
		}
		for range loops {
			wg.Go(func() {
				for range selects {
					r := requests[rand.IntN(len(requests))]
					ctx, cancel := context.WithCancel(context.Background())
					c := r.lock(ctx)
					use := func(result mutex.Result) {
						if cancel(); result.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						for _, i := range r.locks {
							if n := inside[i].Add(r.adds); n != r.adds && (r.adds > 1 || n >= 1000) {
								t.Errorf("readers + 1000 × writers: %d", n)
							}
						}
						runtime.Gosched()
						for _, i := range r.locks {
							inside[i].Add(-r.adds)
						}
						unlock(t, result.Lease)
						if len(c) > 0 {
							t.Error("a second result")
						}
					}
					switch rand.IntN(10) {
					case 0: // perhaps during the receive
						time.AfterFunc(rand.N(2*time.Millisecond), cancel)
						use(<-c)
					case 1:
						select {
						case r := <-c:
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
							cancel()
							if rand.IntN(2) == 0 {
								use(<-c)
							}
						}
					case 2:
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-c)
						})
					default:
						use(<-c)
					}
				}
			})
		}
	}
	wg.Wait()
	cleanup.Wait()
	if granted.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d granted, %d refused", granted.Load(), refused.Load())
	}
	awaitEmpty(t, s.Client(t))
}
