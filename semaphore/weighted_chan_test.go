package semaphore_test

import (
	"context"
	"errors"
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

// The end of ctx ends a wait, and gives back at once what was not received: who waits behind it gets
// in, here and in another process. What was received lasts.
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
				cancelled := func(what string, c <-chan semaphore.Result) {
					t.Helper()
					if r := <-c; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
						t.Errorf("%s yields %v", what, r)
					}
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				c := s.AcquireChan(ctx, 9)
				awaitQueue(t, rdb, 1)
				next := other.AcquireChan(t.Context(), 3)
				time.Sleep(10 * time.Millisecond)
				cancel(why)
				cancelled("a wait", c)
				n := granted(t, next)

				ctx, cancel = context.WithCancelCause(t.Context())
				c = s.AcquireChan(ctx, 1)
				time.Sleep(10 * time.Millisecond) // granted by now, and it lies in the channel
				next = other.AcquireChan(t.Context(), 1)
				time.Sleep(10 * time.Millisecond)
				cancel(why)
				release(t, granted(t, next))
				cancelled("what was not received", c)

				ctx, cancel = context.WithCancelCause(t.Context())
				c = s.AcquireChan(ctx, 1)
				time.Sleep(ample * 9 / 10)
				l := receive(t, c) // from now on it is renewed
				cancel(why)
				time.Sleep(5 * time.Minute)
				for _, l := range []*semaphore.Lease{l, n, held} {
					release(t, l)
				}
				rests(t, rdb)
			})
		})
	}
}

// What nobody receives is not renewed, while others of its process are.
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
		time.Sleep(5 * time.Minute)
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, semaphore.ErrLost) || len(abandoned) > 0 {
			t.Errorf("the channel yields %v", r)
		}
		weighs(t, rdb, "of the others", 5)
		release(t, held)
		s.Release(2)
	})
}

// MaxHold ends each hold by itself.
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
		if got := time.Since(start); got < s.MaxHold || got > s.MaxHold+s.TTL || !errors.Is(forgotten.Err(), semaphore.ErrLost) || later.Err() != nil {
			t.Errorf("after %v a forgotten hold says %v, and a later one %v", got, forgotten.Err(), later.Err())
		}
		<-later.Done()
		if got := time.Since(start) - 6*time.Second; got < s.MaxHold || got > s.MaxHold+s.TTL {
			t.Errorf("a forgotten hold was lost after %v", got)
		}
		release(t, l)
		s.Release(1)
	})
}

// Of thousands of selects in four processes, some are received, some time out, some are cancelled at
// any moment, and some are abandoned for a while. Never are too many inside, each channel yields one
// result, and nothing is left behind. goleak sees to the goroutines.
func TestWeightedSelect(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	const clients, loops, size = 4, 8, 5
	selects := 100
	if testing.Short() {
		selects /= 20
	}
	var inside, granted, refused atomic.Int64
	var fences sync.Map
	var wg, cleanup sync.WaitGroup
	for range clients {
		sem := weightedOf(s.Client(t), size, ample)
		for range loops {
			wg.Go(func() {
				for range selects {
					n := rand.Int64N(size) + 1
					ctx, cancel := context.WithCancel(context.Background())
					c := sem.AcquireChan(ctx, n)
					use := func(r semaphore.Result) {
						if cancel(); r.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						if now := inside.Add(n); now > size {
							t.Errorf("%d permits of %d are in use", now, size)
						}
						if _, twice := fences.LoadOrStore(r.Lease.Fence(), true); twice || len(c) > 0 {
							t.Errorf("the fence %d twice, or a second result", r.Lease.Fence())
						}
						runtime.Gosched()
						inside.Add(-n)
						release(t, r.Lease)
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

// A process that acquires as many permits again and again needs no request for it. Another
// process gets them nevertheless.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var sent redistest.Requests
		a, b := semaphore.NewWeighted(rdb, "key", 3), semaphore.NewWeighted(sibling(t, rdb), "key", 3)
		rdb.AddHook(&sent)
		a.Linger = time.Second
		for range 3 {
			for i := range 200 {
				must(a.Acquire(t.Context(), 2))
				a.Release(2)
				time.Sleep(time.Millisecond)
				if i == 20 {
					sent.Store(0)
				}
			}
			if n := sent.Load(); n > 1 {
				t.Errorf("180 holds cost %d requests", n)
			}
			s, err := a.Inspect(t.Context())
			if err != nil || len(s.Holders) != 1 || !s.Holders[0].Idle || !s.Holders[0].MayLinger || s.Used != 2 {
				t.Errorf("%+v, %v", s, err)
			}
			release(t, acquire(t, b, 3))
		}
	})
}

// A holder learns that another process waits.
func TestContended(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := weightedOf(rdb, 3, ample), weightedOf(sibling(t, rdb), 3, ample)
		a.NotifyContention = true
		l := acquire(t, a, 2)
		next := b.AcquireChan(t.Context(), 2)
		<-l.Contended()
		release(t, l)
		release(t, receive(t, next))
	})
}
