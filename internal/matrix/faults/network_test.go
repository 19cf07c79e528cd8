package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultLatencyAboveTTL uses round trips longer than the TTL (rows 37 and 69). An expired lock is never
// granted.
func TestFaultLatencyAboveTTL(t *testing.T) {
	t.Parallel()
	const ttl = 100 * time.Millisecond
	s, p := proxied(t)
	rdb := p.Client(t)
	patient := mutexOf(rdb, ample)
	unlock(t, lock(t, patient)) // opens connections and loads the scripts
	p.SetDelay(ttl)
	ctx, cancel := context.WithTimeout(t.Context(), 10*ttl)
	defer cancel()
	_, err := mutexOf(rdb, ttl).LockContext(ctx)
	is(t, "LockContext", err, context.DeadlineExceeded)
	p.SetDelay(0)
	expectNothingLeft(t, s, poll)
	unlock(t, lockWithin(t, "to lock on a fast network", patient, poll))
}

// TestFaultCrowd injects network faults while three processes contend (rows 38 to 41). Only time is lost.
func TestFaultCrowd(t *testing.T) {
	type fault func(*testing.T, *redistest.Server, *redistest.Proxy, *contenders)
	// until returns a fault that lasts until the proxy has counted n effects.
	until := func(set func(p *redistest.Proxy, on bool), count func(redistest.Faults) int64, n int64) fault {
		return func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) {
			set(p, true)
			redistest.Eventually(t, 5*poll, func() bool { return count(p.Faults()) >= n }, "the fault takes place %d times", n)
			set(p, false)
		}
	}
	each(t, map[string]fault{
		"Sliced": until((*redistest.Proxy).Slice, func(f redistest.Faults) int64 { return f.Sliced }, 50), // row 38
		"ClientKill": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // rows 39 and 40
			for i, n := 0, int64(0); i < 10 || n < 20; i++ {
				n += s.Do(t, "CLIENT", "KILL", "TYPE", "normal").(int64)
				n += s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub").(int64)
				c.more(5, poll)
			}
		},
		"Reset": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 39
			for range 10 {
				p.CloseAll()
				c.more(5, poll)
			}
			expectFault(t, "connections were closed", p.Faults().Closed, 0)
		},
		"MessagesLost": until(func(p *redistest.Proxy, on bool) { // row 41
			if on {
				p.DropMessages(3)
			}
		}, func(f redistest.Faults) int64 { return f.MessagesDropped }, 3),
		"MessagesTwice": until((*redistest.Proxy).DuplicateMessages, func(f redistest.Faults) int64 { return f.MessagesDuplicated }, 50),
		"MessagesLate": until(func(p *redistest.Proxy, on bool) {
			p.DelayMessages(map[bool]time.Duration{true: 100 * time.Millisecond}[on])
		}, func(f redistest.Faults) int64 { return f.MessagesDelayed }, 5),
	}, func(t *testing.T, inject fault) {
		s, p := proxied(t)
		c := contendBusily(t, p.Client(t), p.Client(t), p.Client(t))
		c.more(20, poll)
		inject(t, s, p, c)
		c.more(50, 2*poll)
		c.expectNoLoss()
		expectNothingLeft(t, s, poll)
	})
}

// waitMethods has the two ways to wait.
var waitMethods = map[string]func(context.Context, *mutex.Mutex) (*mutex.Lease, error){
	"LockContext": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) { return m.LockContext(ctx) },
	"LockChan": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) {
		r := <-m.LockChan(ctx)
		return r.Lease, r.Err
	},
}

// cancelAfter waits with a ctx that is canceled after some time. It checks that the call then returns
// at once, with a valid lease or with the error of ctx.
func cancelAfter(t *testing.T, acquire func(context.Context, *mutex.Mutex) (*mutex.Lease, error), m *mutex.Mutex, after time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var end time.Time
	ended := time.AfterFunc(after, func() {
		end = time.Now()
		cancel()
	})
	defer ended.Stop()
	l, err := acquire(ctx, m)
	switch {
	case err == nil:
		cancel()
		unlock(t, l) // works although ctx is done
	case l != nil || !errors.Is(err, context.Canceled) || ctx.Err() == nil:
		t.Errorf("got %v, %v", l, err)
	default:
		if late := time.Since(end); late > slack+redistest.Allowance(end) {
			t.Errorf("returned %v after the end of ctx", late)
		}
	}
}

// TestFaultCancel cancels ctx at many points (row 30) of acquiring a free lock and a handed-over lock,
// on a slow network. No owner and no queue entry may be left.
func TestFaultCancel(t *testing.T) {
	t.Parallel()
	const step, steps, rtt = 500 * time.Microsecond, 80, 10 * time.Millisecond
	s, p := proxied(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	p.SetDelay(rtt / 2)
	var wg sync.WaitGroup
	for name, acquire := range waitMethods {
		for _, contended := range []bool{false, true} {
			wg.Go(func() {
				for i := range steps {
					key := fmt.Sprint(name, contended, i)
					if contended { // released at some point of the wait
						holder, err := mutex.New(other, key).LockContext(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						wg.Go(func() {
							<-time.After(step * time.Duration(i*7%steps))
							unlock(t, holder)
						})
					}
					cancelAfter(t, acquire, mutex.New(rdb, key), step*time.Duration(i))
				}
			})
		}
	}
	wg.Wait()
	expectNothingLeft(t, s, poll)
	expectFault(t, "the traffic was delayed", p.Faults().Delayed, 0)
}

// TestFaultCancelBlackhole cancels ctx while the traffic is dropped (row 30), in each state of a wait.
// The delayed requests are finally executed, and undone.
func TestFaultCancelBlackhole(t *testing.T) {
	t.Parallel()
	const after = 50 * time.Millisecond
	s, p := proxied(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	held := mutexOf(other, ample)
	l := lock(t, held)
	ctx, cancel := context.WithCancel(t.Context())
	queue := mutexOf(rdb, ample).LockChan(ctx)
	awaitQueue(t, s, "key", 1)
	p.Blackhole(true)
	var wg sync.WaitGroup
	for name, acquire := range waitMethods {
		wg.Go(func() { cancelAfter(t, acquire, mutex.New(rdb, name), after) })
		wg.Go(func() { cancelAfter(t, acquire, mutexOf(rdb, ample), after) })
	}
	wg.Wait()
	cancel()
	is(t, "the queued waiter", receive(t, "to stop waiting", queue, time.Now(), 0).Err, context.Canceled)
	expectFault(t, "the traffic was held", p.Faults().Held, 0)
	p.Blackhole(false)
	start := time.Now()
	unlock(t, l)
	for name := range waitMethods {
		unlock(t, lockWithin(t, "to lock a key whose waiter gave up", mutex.New(other, name), poll))
	}
	unlock(t, lockWithin(t, "to lock the key with a queued waiter", held, poll))
	checkBound(t, "all locks", start, poll)
	expectNothingLeft(t, s, lease.WaiterTTL)
}

// TestFaultCancelled cancels ctx while the request or the reply of a group's operation is held (row 30).
// The operation is undone, and a late copy of the request has no effect.
func TestFaultCancelled(t *testing.T) {
	t.Parallel()
	const within = 250 * time.Millisecond // long enough to send the request
	s, p := proxied(t)
	rdb := s.Client(t)
	wg := waitgroup.New(p.Client(t), "key")
	wg.Add(2)
	records := func() []string { return rdb.Keys(t.Context(), "baton:{key}:ops:*").Val() }
	for desc, do := range map[string]func(ctx context.Context) error{
		"Add":   func(ctx context.Context) error { return wg.AddContext(ctx, 5) },
		"Done":  wg.DoneContext,
		"Claim": func(ctx context.Context) error { _, err := wg.Claim(ctx); return err },
		"Do": func(ctx context.Context) error {
			return wg.Do(ctx, func(context.Context) error { t.Error("the function runs"); return nil })
		},
	} {
		for _, hold := range []func(bool){p.BlackholeRequests, p.BlackholeReplies} {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			hold(true)
			start := time.Now()
			err := do(ctx)
			checkBound(t, desc, start, within)
			hold(false)
			cancel()
			is(t, desc, err, context.DeadlineExceeded)
			// The request may come through now. It is undone, before or after that.
			redistest.Eventually(t, redistest.Patience, func() bool {
				undone := slices.ContainsFunc(records(), func(key string) bool {
					return strings.Contains(fmt.Sprint(rdb.HVals(t.Context(), key).Val()), "-1 undo")
				})
				status, err := wg.Inspect(t.Context())
				return undone && err == nil && status.Count == 2 && len(status.Tasks) == 0
			}, "%s: the operation is undone", desc)
			check(t, wg.AddContext(t.Context(), 1)) // the session still works
			check(t, wg.DoneContext(t.Context()))
			check(t, rdb.Del(t.Context(), append(records(), "none")...).Err())
		}
	}
	wg.Add(-2)
	check(t, wg.WaitContext(t.Context()))
}

// TestShardingProxyLetsOneIn locks several keys together and each key alone, through a proxy with two
// servers (row 61). A key has one holder, and hand-overs work without messages.
func TestShardingProxyLetsOneIn(t *testing.T) {
	t.Parallel()
	const keys, holds = 8, 6
	one, two := redistest.Start(t), redistest.Start(t)
	client := func() *redis.Client { // of both servers behind one address
		rdb := one.Client(t)
		rdb.AddHook(redistest.Sharding(one.Client(t), two.Client(t)))
		return rdb
	}
	a, b := client(), client()
	var names []string
	for i := range keys {
		names = append(names, fmt.Sprint("key", i))
	}
	var inside [keys]atomic.Int64
	var wg sync.WaitGroup
	visit := func(pool *mutex.Pool, indexes func(hold int) []int) {
		wg.Go(func() {
			for n := range holds {
				var list []string
				for _, i := range indexes(n) {
					list = append(list, names[i])
				}
				l, err := pool.LockContext(t.Context(), list...)
				if err != nil {
					t.Error(err)
					return
				}
				for _, i := range indexes(n) {
					if inside[i].Add(1) != 1 {
						t.Errorf("two processes hold %s", names[i])
					}
				}
				<-time.After(time.Millisecond)
				for _, i := range indexes(n) {
					inside[i].Add(-1)
				}
				unlock(t, l)
			}
		})
	}
	for i, rdb := range []*redis.Client{a, b} {
		pool := mutex.NewPool(rdb, "")
		visit(pool, func(int) []int { return []int{0, 1, 2, 3, 4, 5, 6, 7} })
		visit(pool, func(hold int) []int { return []int{(hold + i) % keys} })
	}
	wg.Wait()
	for _, s := range []*redistest.Server{one, two} {
		if s.Stats(t).Scripts() == 0 {
			t.Error("one server has all keys")
		}
		expectNothingLeft(t, s, poll)
	}

	last := names[slices.IndexFunc(names, func(key string) bool { // on the server without the subscription
		return two.Do(t, "EXISTS", "baton:{"+key+"}:fence") == int64(1)
	})]
	l := lock(t, mutex.New(a, last))
	next := mutex.New(b, last).LockChan(t.Context())
	awaitQueue(t, two, last, 1)
	unlock(t, l)
	unlock(t, grant(t, "to detect the hand-over without a message", next, poll))
}
