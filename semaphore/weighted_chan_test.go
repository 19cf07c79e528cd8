package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestAcquireChan(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 10, ample)
		first := <-s.AcquireChan(t.Context(), 6)
		if first.Err != nil || first.Lease.Err() != nil {
			t.Fatal(first)
		}
		second := s.AcquireChan(t.Context(), 5) // returns, though too few are free
		select {
		case r := <-second:
			t.Fatalf("got %v while 6 of 10 are held", r)
		default:
		}
		release(t, first.Lease)
		r := <-second
		if r.Err != nil || r.Lease.Fence() <= first.Lease.Fence() {
			t.Fatal(r)
		}
		release(t, r.Lease)
	})
}

// TestAcquireChanCancelled ends the ctx of a request that waits, and of one that
// has been granted but not received: the next in line gets in at once, here and in
// another process.
func TestAcquireChanCancelled(t *testing.T) {
	for name, elsewhere := range map[string]bool{"here": false, "elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := bubbleClient(t)
				s := weightedOf(rdb, 10, ample)
				other := s
				if elsewhere {
					other = weightedOf(sibling(t, rdb), 10, ample)
				}
				held := acquire(t, s, 6)
				why := errors.New("why")
				ctx, cancel := context.WithCancelCause(t.Context())
				waits := s.AcquireChan(ctx, 9)
				awaitQueue(t, rdb, 1)
				next := other.AcquireChan(t.Context(), 3)
				time.Sleep(10 * time.Millisecond)
				start := time.Now()
				cancel(why)
				if r := <-waits; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
					t.Errorf("a cancelled wait yields %v", r)
				}
				n := (<-next).Lease // it waited behind, and fits
				ctx, cancel = context.WithCancelCause(t.Context())
				granted := s.AcquireChan(ctx, 1)
				time.Sleep(10 * time.Millisecond) // granted by now, and it lies in the channel
				next = other.AcquireChan(t.Context(), 1)
				time.Sleep(10 * time.Millisecond)
				cancel(why)
				release(t, (<-next).Lease)
				if r := <-granted; r.Lease != nil || !errors.Is(r.Err, why) {
					t.Errorf("a grant that was given back yields %v", r)
				}
				if got := time.Since(start); got > 40*time.Millisecond {
					t.Errorf("it took %v to pass on what was not wanted", got)
				}
				weighsAll(t, rdb, 9)
				release(t, n)
				release(t, held)
			})
		})
	}
}

// weighsAll checks how many permits are in use.
func weighsAll(t *testing.T, rdb *redis.Client, want int64) {
	t.Helper()
	redistest.Eventually(t, time.Second, func() bool { return state(t, rdb, 3) == want }, "%d are in use, not %v", want, lazy(func() string { return fmt.Sprint(members(t, rdb)) }))
}

// TestAcquireChanAbandoned leaves a granted channel unread, under a ctx that never
// ends, in a process that goes on holding others: these are renewed, and those are
// given back after one TTL. The channel, read late, says so.
func TestAcquireChanAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s, other := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 10, ample)
		held := acquire(t, s, 3)
		must(s.Acquire(t.Context(), 2))
		start := time.Now()
		abandoned := s.AcquireChan(context.Background(), 4)
		time.Sleep(time.Millisecond)
		release(t, acquire(t, other, 5))
		if got := time.Since(start); got > s.TTL+10*time.Millisecond || got < s.TTL/2 {
			t.Errorf("what nobody received was held for %v, the TTL is %v", got, s.TTL)
		}
		weighsAll(t, rdb, 5)
		time.Sleep(5 * time.Minute)
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, semaphore.ErrLost) {
			t.Errorf("the channel yields %v", r)
		}
		select {
		case r := <-abandoned:
			t.Errorf("the channel yields a second result, %v", r)
		default:
		}
		weighsAll(t, rdb, 5)
		release(t, held)
		s.Release(2)
	})
}

// TestAcquireChanReceivedLate receives a grant just before its TTL is over: from
// then on it is renewed.
func TestAcquireChanReceivedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := weightedOf(bubbleClient(t), 10, ample)
		must(s.Acquire(t.Context(), 3))
		granted := s.AcquireChan(t.Context(), 2)
		time.Sleep(s.TTL * 9 / 10)
		r := <-granted
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		time.Sleep(5 * time.Minute)
		release(t, r.Lease)
		s.Release(3)
	})
}

// TestWeightedLongHolds: the permits of a process that lives are its own over many TTLs,
// whatever others want.
func TestWeightedLongHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s, other := weightedOf(rdb, 10, time.Second), weightedOf(sibling(t, rdb), 10, time.Second)
		l := acquire(t, s, 3)
		must(s.Acquire(t.Context(), 2))
		waits := other.AcquireChan(t.Context(), 6)
		for range 10 {
			time.Sleep(10 * time.Second)
			select {
			case r := <-waits:
				t.Fatalf("got %v", r)
			default:
			}
			if other.TryAcquire(1) || l.Err() != nil {
				t.Fatalf("the hold was lost, %v, or overtaken", l.Err())
			}
		}
		release(t, l)
		s.Release(2)
		release(t, (<-waits).Lease)
	})
}

// TestWeightedMaxHold: a hold is renewed for so long and no longer, each for
// itself.
func TestWeightedMaxHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s, other := weightedOf(rdb, 10, 2*time.Second), weightedOf(sibling(t, rdb), 10, ample)
		s.MaxHold = 10 * time.Second
		forgotten := acquire(t, s, 4)
		start := time.Now()
		must(s.Acquire(t.Context(), 1)) // forgotten too
		time.Sleep(6 * time.Second)
		later := acquire(t, s, 3)
		l := acquire(t, other, 7)
		if got := time.Since(start); got < s.MaxHold || got > s.MaxHold+s.TTL {
			t.Errorf("a forgotten hold was lost after %v", got)
		}
		if err := forgotten.Err(); !errors.Is(err, semaphore.ErrLost) {
			t.Errorf("Err is %v", err)
		}
		if err := later.Err(); err != nil {
			t.Errorf("Err of a hold that is not too old is %v", err)
		}
		weighsAll(t, rdb, 10)
		<-later.Done()
		if got := time.Since(start) - 6*time.Second; got < s.MaxHold || got > s.MaxHold+s.TTL {
			t.Errorf("a forgotten hold was lost after %v", got)
		}
		release(t, acquire(t, other, 3))
		if got := time.Since(start) - 6*time.Second; got > s.MaxHold+s.TTL+10*time.Millisecond {
			t.Errorf("its permits came back after %v", got)
		}
		release(t, l)
		s.Release(1)
	})
}

// TestWeightedSelect runs 4,000 selects over AcquireChan on two keys, of
// which some are received, some time out, some are cancelled at a random instant,
// and some are abandoned. Never are too many inside, each channel yields one Result,
// and afterwards there is no goroutine, subscription, place in line or hold.
func TestWeightedSelect(t *testing.T) {
	s := redistest.Start(t)
	before := runtime.NumGoroutine()
	const clients, loops, size = 4, 8, 5
	selects := 4000 / clients / loops
	if testing.Short() {
		selects /= 20
	}
	keys := []string{"key", "another"}
	gauges := []*gauge{{t: t, size: size}, {t: t, size: size}}
	var granted, refused atomic.Int64
	var fences sync.Map
	var wg, cleanup sync.WaitGroup
	rdbs := make([]*redis.Client, clients)
	for c := range rdbs {
		rdbs[c] = redis.NewClient(s.Options())
		for range loops {
			wg.Go(func() {
				for range selects {
					k, n := rand.IntN(len(keys)), rand.Int64N(size)+1
					sem := semaphore.NewWeighted(rdbs[c], keys[k], size)
					sem.TTL = ample
					ctx, cancel := context.WithCancel(context.Background())
					use := func(r semaphore.Result) {
						if r.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						leave := gauges[k].enter(n)
						if _, twice := fences.LoadOrStore([2]int64{int64(k), r.Lease.Fence()}, true); twice {
							t.Errorf("the fence %d was given twice", r.Lease.Fence())
						}
						if rand.IntN(4) == 0 {
							runtime.Gosched()
						}
						leave()
						release(t, r.Lease)
					}
					switch rand.IntN(10) {
					case 0: // cancelled at a random instant, perhaps while it is received
						time.AfterFunc(rand.N(2*time.Millisecond), cancel)
						use(<-sem.AcquireChan(ctx, n))
					case 1: // times out, and is not looked at again
						select {
						case r := <-sem.AcquireChan(ctx, n):
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
						}
					case 2: // times out, and is looked at again
						ch := sem.AcquireChan(ctx, n)
						select {
						case r := <-ch:
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
							cancel()
							use(<-ch)
						}
					case 3: // abandoned for a while; yields one Result all the same
						ch := sem.AcquireChan(ctx, n)
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-ch)
						})
						continue
					default:
						use(<-sem.AcquireChan(ctx, n))
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	cleanup.Wait()
	t.Logf("%d granted, %d refused, %d permits in use at most", granted.Load(), refused.Load(), gauges[0].most.Load())
	if granted.Load() == 0 || refused.Load() == 0 {
		t.Error("that is no random select")
	}
	for _, rdb := range rdbs {
		rests(t, rdb, 5*time.Second, "another")
		rdb.Close()
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before }, "a goroutine stays")
}

// TestAcquireChanAbandonedBusy is the same while the process acquires and releases
// others all the time.
func TestAcquireChanAbandonedBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		s := weightedOf(rdb, 10, ample)
		held := acquire(t, s, 3)
		start := time.Now()
		abandoned := s.AcquireChan(context.Background(), 4)
		time.Sleep(time.Millisecond)
		for state(t, rdb, 3) != 3 && time.Since(start) < 2*s.TTL {
			release(t, acquire(t, s, 1))
			time.Sleep(100 * time.Millisecond)
		}
		if got := time.Since(start); got > s.TTL+200*time.Millisecond {
			t.Errorf("what nobody received was held for %v, the TTL is %v", got, s.TTL)
		}
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, semaphore.ErrLost) {
			t.Errorf("the channel yields %v", r)
		}
		release(t, held)
	})
}
