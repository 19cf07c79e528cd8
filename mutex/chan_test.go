package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestLockChan(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		m := mutex.New(rdb, "key")
		first := <-m.LockChan(t.Context())
		if first.Err != nil || first.Lease.Err() != nil {
			t.Fatal(first)
		}
		second := m.LockChan(t.Context()) // returns, though the lock is held
		select {
		case r := <-second:
			t.Fatalf("got %v while the lock is held", r)
		default:
		}
		unlock(t, first.Lease)
		r := <-second
		if r.Err != nil || r.Lease.Fence() <= first.Lease.Fence() {
			t.Fatal(r)
		}
		unlock(t, r.Lease)
	})
}

// TestLockChanCancelled ends the ctx of a request that waits, and of one that has
// been granted but not received: the next in line gets the lock at once.
func TestLockChanCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m := mutex.New(rdb, "key")
		held := lock(t, m)
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		waits := m.LockChan(ctx)
		granted := m.LockChan(ctx)
		next := m.LockChan(t.Context())
		synctest.Wait()
		cancel(why)
		if r := <-waits; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("a cancelled wait yields %v", r)
		}
		if r := <-granted; r.Lease != nil || !errors.Is(r.Err, why) {
			t.Errorf("a cancelled wait yields %v", r)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		start := time.Now()
		unlock(t, held)
		unlock(t, (<-next).Lease)

		granted = m.LockChan(ctx)
		time.Sleep(time.Millisecond) // granted by now, and it lies in the channel
		next = m.LockChan(t.Context())
		synctest.Wait()
		cancel(why)
		unlock(t, (<-next).Lease)
		if r := <-granted; r.Lease != nil || !errors.Is(r.Err, why) {
			t.Errorf("a grant that was given back yields %v", r)
		}
		if got := time.Since(start); got > 10*time.Millisecond {
			t.Errorf("it took %v to pass on what was not wanted", got)
		}
	})
}

// TestLockChanAbandoned leaves a granted channel unread, under a ctx that never
// ends: it is not renewed, the lock is free after one TTL, and the channel, read
// late, says so.
func TestLockChanAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := mutex.New(rdb, "key"), mutex.New(bubbleSibling(t, rdb), "key")
		start := time.Now()
		abandoned := m.LockChan(context.Background())
		time.Sleep(time.Millisecond)
		unlock(t, lock(t, other))
		if got := time.Since(start); got > m.TTL+time.Millisecond {
			t.Errorf("the lock was held for %v, its TTL is %v", got, m.TTL)
		}
		time.Sleep(time.Hour)
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) {
			t.Errorf("the channel yields %v", r)
		}
		select {
		case r := <-abandoned:
			t.Errorf("the channel yields a second result, %v", r)
		default:
		}
	})
}

// TestLockChanReceivedLate receives a grant just before its TTL is over: from
// then on it is renewed.
func TestLockChanReceivedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mutex.New(bubbleClient(t), "key")
		granted := m.LockChan(t.Context())
		time.Sleep(m.TTL * 9 / 10)
		r := <-granted
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		time.Sleep(time.Hour)
		unlock(t, r.Lease)
	})
}

// TestLockChanRefused delivers what cannot get better by waiting.
func TestLockChanRefused(t *testing.T) {
	rdb := miniClient(t)
	rdb.LPush(t.Context(), "list", "x")
	r := <-mutex.New(rdb, "list").LockChan(t.Context())
	if r.Lease != nil || r.Err == nil || !strings.Contains(r.Err.Error(), "WRONGTYPE") || !strings.Contains(r.Err.Error(), `"list"`) {
		t.Errorf("the channel yields %v", r)
	}
}

// TestSelect runs 4,000 selects over LockChan on a few keys, of which some are
// received, some time out, some are cancelled at a random instant, and some are
// abandoned. No two are ever inside, each channel yields one Result, and
// afterwards there is no goroutine, subscription, queue entry or held key.
func TestSelect(t *testing.T) {
	s := redistest.Start(t)
	before := runtime.NumGoroutine()
	const clients, loops, keys = 4, 8, 3
	selects := 4000 / clients / loops
	if testing.Short() {
		selects /= 20
	}
	var inside [keys]atomic.Int32
	var granted, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	rdbs := make([]*redis.Client, clients)
	for c := range rdbs {
		rdbs[c] = redis.NewClient(s.Options())
		for range loops {
			wg.Go(func() {
				for range selects {
					k := rand.IntN(keys)
					m := mutex.New(rdbs[c], [keys]string{"a", "b", "c"}[k])
					m.TTL = ample
					ctx, cancel := context.WithCancel(context.Background())
					use := func(r mutex.Result) {
						if r.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						if inside[k].Add(1) != 1 {
							t.Error("two are inside")
						}
						if rand.IntN(4) == 0 {
							runtime.Gosched()
						}
						inside[k].Add(-1)
						unlock(t, r.Lease)
					}
					switch rand.IntN(10) {
					case 0: // cancelled at a random instant, perhaps while it is received
						time.AfterFunc(rand.N(2*time.Millisecond), cancel)
						use(<-m.LockChan(ctx))
					case 1: // times out, and is not looked at again
						select {
						case r := <-m.LockChan(ctx):
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
						}
					case 2: // times out, and is looked at again
						ch := m.LockChan(ctx)
						select {
						case r := <-ch:
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
							cancel()
							use(<-ch)
						}
					case 3: // abandoned for a while; yields one Result all the same
						ch := m.LockChan(ctx)
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-ch)
						})
						continue
					default:
						use(<-m.LockChan(ctx))
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	cleanup.Wait()
	t.Logf("%d granted, %d refused", granted.Load(), refused.Load())
	if granted.Load() == 0 || refused.Load() == 0 {
		t.Error("that is no random select")
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Subscribers(t, "*") == 0 }, "a subscription stays")
	redistest.Eventually(t, 5*time.Second, func() bool {
		for _, key := range s.Keys(t) {
			if !strings.HasSuffix(key, ":fence") {
				return false
			}
		}
		return true
	}, "a key stays")
	for _, rdb := range rdbs {
		rdb.Close()
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before }, "a goroutine stays")
}
