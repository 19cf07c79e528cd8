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

// The end of ctx ends a wait, and gives back at once what was not received. It does not end a hold.
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
		queued(t, other, 1)
		next := third.lockChan(t.Context())
		queued(t, other, 2)
		cancel(why)
		cancelled("a wait", c)
		waits(t, next)
		unlock(t, first)
		unlock(t, granted(t, next))

		ctx, cancel = context.WithCancelCause(t.Context())
		c = l.lockChan(ctx)
		time.Sleep(time.Second) // granted by now, and it lies in the channel
		next = other.lockChan(t.Context())
		time.Sleep(time.Second)
		waits(t, next)
		cancel(why)
		unlock(t, granted(t, next))
		cancelled("what was not received", c)

		ctx, cancel = context.WithCancelCause(t.Context())
		c = l.lockChan(ctx)
		time.Sleep(mutex.DefaultTTL * 9 / 10)
		h := receive(t, c) // from now on it is renewed
		cancel(why)
		time.Sleep(time.Hour)
		unlock(t, h)
	})
}

// What nobody receives is not renewed: after one TTL the lock is free, and the channel says so.
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
			t.Errorf("the channel yields %v, and %d results more", r, len(abandoned))
		}
	})
}

// A loss of what lies in the channel is found there. Other keys go back with the one that was lost.
func TestLockChanLost(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		c := k.of(rdb, "key", standard).lockChan(t.Context())
		time.Sleep(mutex.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		time.Sleep(mutex.DefaultTTL)
		if r := <-c; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) || held(t, rdb, more+"key") != "" {
			t.Errorf("the channel yields %v, and %q is held", r, held(t, rdb, more+"key"))
		}
	})
}

// Of thousands of selects in four processes, some are received, some time out, some are cancelled at
// any moment, and some are abandoned for a while. Nobody is inside with a rival, each channel yields one
// result, and nothing is left behind. goleak sees to the goroutines.
func TestSelect(t *testing.T) {
	s := redistest.Start(t)
	const clients, loops = 4, 8
	selects := 200
	if testing.Short() {
		selects /= 20
	}
	// Readers + 1000 × writers, of the mutexes "a" and "b", which may be locked together, and of "rw".
	var inside [3]atomic.Int32
	var granted, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	for range clients {
		rdb := s.Client(t)
		requests := []struct {
			lock  func(context.Context) <-chan mutex.Result
			where []int
			adds  int32
		}{
			{mutexOf(rdb, "a").LockChan, []int{0}, 1000}, {mutexOf(rdb, "b").LockChan, []int{1}, 1000},
			{poolOf(rdb, forever, "a").lockChan, []int{0}, 1000}, {poolOf(rdb, forever, "b", "a").lockChan, []int{0, 1}, 1000},
			{rwOf(rdb, "rw", forever).LockChan, []int{2}, 1000}, {rwOf(rdb, "rw", forever).RLockChan, []int{2}, 1},
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
						for _, i := range r.where {
							if n := inside[i].Add(r.adds); n != r.adds && (r.adds > 1 || n >= 1000) {
								t.Errorf("%d are inside", n)
							}
						}
						runtime.Gosched()
						for _, i := range r.where {
							inside[i].Add(-r.adds)
						}
						unlock(t, result.Lease)
						if len(c) > 0 {
							t.Error("a second result")
						}
					}
					switch rand.IntN(10) {
					case 0: // perhaps while it is received
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
	rests(t, s.Client(t))
}
