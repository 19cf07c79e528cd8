package mutex_test

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
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestRWMutexLockChan(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		fleet := rwFleet(t, rdb, 2)
		for _, other := range fleet { // in one process, and over two
			m := fleet[0]
			readers := []mutex.Result{<-m.RLockChan(t.Context()), <-other.RLockChan(t.Context())}
			writer := other.LockChan(t.Context()) // returns, though the lock is held
			select {
			case r := <-writer:
				t.Fatalf("got %v while readers hold the lock", r)
			default:
			}
			for _, r := range readers {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				unlock(t, r.Lease)
			}
			w := <-writer
			if w.Err != nil || w.Lease.Fence() <= max(readers[0].Lease.Fence(), readers[1].Lease.Fence()) {
				t.Fatal(w)
			}
			unlock(t, w.Lease)
		}
	})
}

// TestRWMutexLockChanCancelled ends the ctx of a writer that waits: the readers
// behind it, here and elsewhere, get in at once. Then that of readers and writers
// that have been granted but not received.
func TestRWMutexLockChanCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 3)
		a, b, c := fleet[0], fleet[1], fleet[2]
		why := errors.New("why")
		held := rlock(t, a)
		for _, m := range []*mutex.RWMutex{a, b} { // the writer's process
			ctx, cancel := context.WithCancelCause(t.Context())
			writer := m.LockChan(ctx)
			time.Sleep(10 * time.Millisecond)
			readers := []<-chan mutex.Result{b.RLockChan(t.Context()), c.RLockChan(t.Context())}
			if m == a {
				readers = append(readers, a.RLockChan(t.Context()))
			}
			time.Sleep(10 * time.Millisecond)
			if m == b { // of a that is only true for a writer elsewhere: it asks Redis when a's readers have left
				for _, r := range readers {
					excludes(t, r, 0)
				}
			}
			cancel(why)
			time.Sleep(10 * time.Millisecond)
			if r := <-writer; r.Lease != nil || !errors.Is(r.Err, why) || !errors.Is(r.Err, context.Canceled) {
				t.Errorf("a cancelled wait yields %v", r)
			}
			for _, r := range readers {
				unlock(t, granted(t, "a reader behind a writer that has gone", r))
			}
		}
		unlock(t, held)

		for _, lock := range []func(context.Context) <-chan mutex.Result{a.LockChan, a.RLockChan} {
			ctx, cancel := context.WithCancelCause(t.Context())
			unwanted := lock(ctx)
			time.Sleep(time.Millisecond) // granted by now, and it lies in the channel
			next := b.LockChan(t.Context())
			time.Sleep(time.Minute / 60)
			excludes(t, next, 0)
			cancel(why)
			time.Sleep(10 * time.Millisecond)
			unlock(t, granted(t, "the next", next))
			if r := <-unwanted; r.Lease != nil || !errors.Is(r.Err, why) {
				t.Errorf("a grant that was given back yields %v", r)
			}
		}
	})
}

// TestRWMutexLockChanAbandoned leaves granted channels unread under a ctx that never
// ends. Alone they end after one TTL, and so they do among readers that live.
func TestRWMutexLockChanAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 2)
		m, other := fleet[0], fleet[1]
		for _, lock := range []func(context.Context) <-chan mutex.Result{m.LockChan, m.RLockChan} {
			start := time.Now()
			abandoned := lock(context.Background())
			time.Sleep(time.Millisecond)
			unlock(t, wlock(t, other))
			if got := time.Since(start); got > m.TTL+10*time.Millisecond {
				t.Errorf("the lock was held for %v, its TTL is %v", got, m.TTL)
			}
			time.Sleep(3 * m.TTL)
			if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) {
				t.Errorf("the channel yields %v", r)
			}
		}

		alive := rlock(t, m)
		abandoned := m.RLockChan(context.Background())
		time.Sleep(3 * m.TTL)
		if r := <-abandoned; r.Lease != nil || !errors.Is(r.Err, mutex.ErrLost) {
			t.Errorf("the channel yields %v", r)
		}
		unlock(t, alive)
	})
}

// TestRWMutexSelect runs 4,000 selects over LockChan and RLockChan, of which
// some are received, some time out, some are cancelled at a random instant, and
// some are abandoned. Writers are always alone, each channel yields one Result,
// and afterwards there is no goroutine, subscription, place in a line or hold.
func TestRWMutexSelect(t *testing.T) {
	s := redistest.Start(t)
	before := runtime.NumGoroutine()
	const clients, loops, keys = 4, 8, 2
	selects := 4000 / clients / loops // half of them to write
	if testing.Short() {
		selects /= 20
	}
	var inside [keys]atomic.Int32 // readers + 10000 * writers
	var granted, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	rdbs := make([]*redis.Client, clients)
	for c := range rdbs {
		rdbs[c] = redis.NewClient(s.Options())
		for range loops {
			wg.Go(func() {
				for i := range selects {
					k := rand.IntN(keys)
					m := mutex.NewRW(rdbs[c], [keys]string{"a", "b"}[k])
					m.TTL = ample
					lock, weight := m.LockChan, int32(10000)
					if i%2 == 0 {
						lock, weight = m.RLockChan, 1
					}
					ctx, cancel := context.WithCancel(context.Background())
					use := func(r mutex.Result) {
						if r.Err != nil {
							refused.Add(1)
							return
						}
						granted.Add(1)
						if n := inside[k].Add(weight); n != weight && (weight > 1 || n >= 10000) {
							t.Errorf("%d are inside", n)
						}
						if rand.IntN(4) == 0 {
							runtime.Gosched()
						}
						inside[k].Add(-weight)
						unlock(t, r.Lease)
					}
					switch rand.IntN(10) {
					case 0: // cancelled at a random instant, perhaps while it is received
						time.AfterFunc(rand.N(2*time.Millisecond), cancel)
						use(<-lock(ctx))
					case 1: // times out, and is not looked at again
						select {
						case r := <-lock(ctx):
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
						}
					case 2: // times out, and is looked at again
						ch := lock(ctx)
						select {
						case r := <-ch:
							use(r)
						case <-time.After(rand.N(2 * time.Millisecond)):
							cancel()
							use(<-ch)
						}
					case 3: // abandoned for a while; yields one Result all the same
						ch := lock(ctx)
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-ch)
						})
						continue
					default:
						use(<-lock(ctx))
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
	rwRests(t, s, 5*time.Second)
	for _, rdb := range rdbs {
		rdb.Close()
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before }, "a goroutine stays")
}
