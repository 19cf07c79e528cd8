package faults

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

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

// TestFaultCancelBlackhole cancels ctx while the traffic is dropped (row 30), in each state of a wait. Each
// call returns at once. The delayed requests are finally executed, and undone.
func TestFaultCancelBlackhole(t *testing.T) {
	t.Parallel()
	s, p := proxied(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	l := lock(t, mutexOf(other, ample))
	ctx, cancel := context.WithCancel(t.Context())
	results := []<-chan mutex.Result{mutexOf(rdb, ample).LockChan(ctx)}
	awaitQueue(t, s, "key", 1)
	p.Blackhole(true)
	keys := []string{"key", "free", "other"}
	for _, key := range keys {
		blocking := make(chan mutex.Result, 1)
		go func() {
			l, err := mutexAt(rdb, key, ample).LockContext(ctx)
			blocking <- mutex.Result{Lease: l, Err: err}
		}()
		results = append(results, blocking, mutexAt(rdb, key, ample).LockChan(ctx))
	}
	redistest.Eventually(t, redistest.Patience, func() bool { return p.Faults().Held > 1 }, "the requests are held")
	cancel()
	start := time.Now()
	for _, c := range results {
		is(t, "a wait", receive(t, "to stop waiting", c, start, 0).Err, context.Canceled)
	}
	p.Blackhole(false)
	start = time.Now()
	unlock(t, l)
	for _, key := range keys {
		unlock(t, lockWithin(t, "to lock a key whose waiters gave up", mutexAt(other, key, ample), poll))
	}
	checkBound(t, "all locks", start, poll)
	expectNothingLeft(t, s, lease.WaiterTTL)
}

// TestShardingProxyLetsOneIn locks several keys together, and then one alone, through a proxy with two
// servers (row 61). No other client gets one of the keys, and a hand-over works without a message.
func TestShardingProxyLetsOneIn(t *testing.T) {
	t.Parallel()
	one, two := redistest.Start(t), redistest.Start(t)
	client := func() *redis.Client { // of both servers behind one address
		rdb := one.Client(t)
		rdb.AddHook(redistest.Sharding(one.Client(t), two.Client(t)))
		return rdb
	}
	a, b := client(), client()
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprint("key", i))
	}
	all := lockAll(t, mutex.NewPool(a, ""), names...)
	for _, name := range names {
		_, err := mutex.New(b, name).TryLockContext(t.Context())
		is(t, "a try of "+name, err, mutex.ErrLocked)
	}
	unlock(t, all)
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
