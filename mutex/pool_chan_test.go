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

// TestPoolLockChanCancelled ends the ctx of a result that lies in the channel: all
// keys are free at once, and the channel says why.
func TestPoolLockChanCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "")
		why := errors.New("why")
		for _, keys := range [][]string{{"a"}, {"a", "b", "c"}} {
			ctx, cancel := context.WithCancelCause(t.Context())
			granted := p.LockChan(ctx, keys...)
			time.Sleep(time.Second) // granted by now, and it lies in the channel
			if got := held(t, rdb, "a", "b", "c"); got != strings.Join(keys, "") {
				t.Errorf("%q are held", got)
			}
			start := time.Now()
			cancel(why)
			unlock(t, lockAll(t, p, "c", "b", "a"))
			if r := <-granted; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
				t.Errorf("the channel yields %v", r)
			}
			if took := time.Since(start); took > 10*time.Millisecond {
				t.Errorf("to give back took %v", took)
			}

			ctx, cancel = context.WithCancelCause(t.Context())
			r := <-p.LockChan(ctx, keys...)
			cancel(why) // which does not bound the hold
			time.Sleep(time.Hour)
			unlock(t, r.Lease)
		}
	})
}

// TestPoolLockChanAbandoned leaves a result unread, under a ctx that never ends:
// it is not renewed, and after one TTL all keys are free.
func TestPoolLockChanAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p, other := mutex.NewPool(rdb, ""), mutex.NewPool(bubbleSibling(t, rdb), "")
		abandoned := p.LockChan(context.Background(), "a", "b", "c")
		time.Sleep(time.Millisecond)
		start := time.Now()
		for _, key := range []string{"a", "b", "c"} {
			unlock(t, lockAll(t, other, key))
		}
		if took := time.Since(start); took > p.TTL || took < p.TTL/2 {
			t.Errorf("the keys were held for %v, their TTL is %v", took, p.TTL)
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

// TestPoolLockChanLost takes one key away from a result that lies in the channel:
// the others go back with it.
func TestPoolLockChanLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "")
		granted := p.LockChan(t.Context(), "a", "b", "c")
		time.Sleep(p.TTL / 2)
		if got := held(t, rdb, "a", "b", "c"); got != "abc" {
			t.Fatalf("%q are held", got)
		}
		rdb.Del(t.Context(), "b")
		time.Sleep(p.TTL)
		if got := held(t, rdb, "a", "b", "c"); got != "" {
			t.Errorf("%q are held", got)
		}
		if r := <-granted; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) {
			t.Errorf("the channel yields %v", r)
		}
	})
}

// TestPoolLockChanReceivedLate receives a result before its TTL is over: from
// then on it is renewed.
func TestPoolLockChanReceivedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mutex.NewPool(bubbleClient(t), "")
		granted := p.LockChan(t.Context(), "a", "b")
		time.Sleep(p.TTL * 9 / 10)
		r := <-granted
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		time.Sleep(time.Hour)
		unlock(t, r.Lease)
	})
}

// TestPoolSelect is TestSelect for pairs of keys.
func TestPoolSelect(t *testing.T) {
	s := redistest.Start(t)
	before := runtime.NumGoroutine()
	const clients, loops = 4, 8
	names := [...]string{"a", "b", "c", "d"}
	selects := 4000 / clients / loops
	if testing.Short() {
		selects /= 20
	}
	var inside [len(names)]atomic.Int32
	var granted, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	rdbs := make([]*redis.Client, clients)
	for c := range rdbs {
		rdbs[c] = redis.NewClient(s.Options())
		p := mutex.NewPool(rdbs[c], "")
		p.TTL = ample
		for range loops {
			wg.Go(func() {
				for range selects {
					pair := rand.Perm(len(names))[:2]
					ctx, cancel := context.WithCancel(context.Background())
					request := func() <-chan mutex.Result { return p.LockChan(ctx, names[pair[0]], names[pair[1]]) }
					use := func(r mutex.Result) {
						if r.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						for _, k := range pair {
							if inside[k].Add(1) != 1 {
								t.Error("two are inside")
							}
						}
						runtime.Gosched()
						for _, k := range pair {
							inside[k].Add(-1)
						}
						unlock(t, r.Lease)
					}
					switch rand.IntN(8) {
					case 0: // cancelled at a random instant, perhaps while it is received
						time.AfterFunc(rand.N(4*time.Millisecond), cancel)
						use(<-request())
					case 1: // times out, and is not looked at again
						select {
						case r := <-request():
							use(r)
						case <-time.After(rand.N(4 * time.Millisecond)):
						}
					case 2: // times out, and is looked at again
						ch := request()
						select {
						case r := <-ch:
							use(r)
						case <-time.After(rand.N(4 * time.Millisecond)):
							cancel()
							use(<-ch)
						}
					case 3: // abandoned for a while; yields one Result all the same
						ch := request()
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-ch)
						})
						continue
					default:
						use(<-request())
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
	rests(t, s, poll)
	for _, rdb := range rdbs {
		rdb.Close()
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before }, "a goroutine stays")
}
