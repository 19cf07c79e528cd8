package mutex_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The costs that DESIGN promises for one operation, by the server's own counters.

func TestCostUncontended(t *testing.T) {
	s := redistest.Start(t)
	m := mutex.New(s.Client(t), "key")
	pair := func() { unlock(t, lock(t, m)) }
	pair() // the server learns the scripts
	const n = 200
	before := s.Stats(t)
	for range n {
		pair()
	}
	cost := s.Stats(t).Since(before)
	if cost.Requests() != 2*n || cost.Published() != 0 {
		t.Errorf("%d pairs cost %d requests, %d messages", n, cost.Requests(), cost.Published())
	}
}

// TestCostHeld is the cost of a wait: one request that queues, and one message.
func TestCostHeld(t *testing.T) {
	s := redistest.Start(t)
	a, b := mutex.New(s.Client(t), "key"), mutex.New(s.Client(t), "key")
	cycle := func() {
		held := lock(t, a)
		next := b.LockChan(t.Context())
		redistest.Eventually(t, time.Second, func() bool { return waiting(t, s) == 1 }, "b does not queue")
		unlock(t, held)
		unlock(t, (<-next).Lease)
	}
	cycle() // opens the subscription
	before := s.Stats(t)
	cycle()
	cost := s.Stats(t).Since(before)
	if cost.Scripts() != 4 || cost.Published() != 1 || cost.Subscribes() != 0 {
		t.Errorf("two holds cost %d requests, %d messages, %d subscriptions", cost.Scripts(), cost.Published(), cost.Subscribes())
	}
}

// TestCostBetweenProcesses has four clients, which are four processes to the
// library, pass the lock round.
func TestCostBetweenProcesses(t *testing.T) {
	s := redistest.Start(t)
	var holds atomic.Int64
	var wg sync.WaitGroup
	before := s.Stats(t)
	for range 4 {
		m := mutex.New(s.Client(t), "key")
		wg.Go(func() {
			for range 500 {
				m.Lock()
				holds.Add(1)
				m.Unlock()
			}
		})
	}
	wg.Wait()
	cost := s.Stats(t).Since(before)
	perHold := float64(cost.Scripts()) / float64(holds.Load())
	messages := float64(cost.Published()) / float64(holds.Load())
	t.Logf("%.3f requests and %.3f messages a hold, %d subscriptions", perHold, messages, cost.Subscribes())
	if perHold > 2.05 || messages > 1 || cost.Subscribes() > 8 {
		t.Errorf("%.3f requests and %.3f messages a hold, %d subscriptions", perHold, messages, cost.Subscribes())
	}
}

// TestCostInside has the goroutines of one process pass the lock round: a
// quantum costs a request, a hold costs none.
func TestCostInside(t *testing.T) {
	s := redistest.Start(t)
	m := mutex.New(s.Client(t), "key")
	const goroutines, each = 32, 1000
	var wg sync.WaitGroup
	before := s.Stats(t)
	for range goroutines {
		wg.Go(func() {
			for range each {
				m.Lock()
				m.Unlock() //lint:ignore SA2001 only the passing counts
			}
		})
	}
	wg.Wait()
	cost := s.Stats(t).Since(before)
	if perHold := float64(cost.Scripts()) / (goroutines * each); perHold > 0.05 {
		t.Errorf("%.4f requests a hold", perHold)
	}
	if cost.Published() != 0 || cost.Subscribes() != 0 {
		t.Errorf("%d messages, %d subscriptions, though no other process is there", cost.Published(), cost.Subscribes())
	}
}

// TestCostIdle has 4 × 256 waiters wait for a held lock: at most a request a
// second for each four, and the renewals of the holder wake nobody.
func TestCostIdle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	holder := mutex.New(s.Client(t), "key")
	held := lock(t, holder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients, waiters = 4, 256
	results := make(chan mutex.Result, clients*waiters)
	var wg sync.WaitGroup
	for range clients {
		m := mutex.New(s.Client(t), "key")
		for range waiters {
			wg.Go(func() { results <- <-m.LockChan(ctx) })
		}
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return waiting(t, s) == clients }, "not all queue")
	before := s.Stats(t)
	const seconds = 6
	<-time.After(seconds * time.Second) // the time is what is measured
	cost := s.Stats(t).Since(before)
	renewals := int64(seconds/(holder.TTL.Seconds()/3)) + 1
	if most := int64(clients*seconds) + renewals; cost.Requests() > most || cost.Published() != 0 {
		t.Errorf("%d waiters cost %d requests and %d messages in %d s, at most %d is promised", clients*waiters, cost.Requests(), cost.Published(), seconds, most)
	}
	cancel()
	wg.Wait()
	unlock(t, held)
}

// TestCostRenewal renews each lease three times a TTL.
func TestCostRenewal(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	const leases = 300
	var held []*mutex.Lease
	for i := range leases {
		m := mutex.New(rdb, fmt.Sprint("key", i))
		m.TTL = 1500 * time.Millisecond
		held = append(held, lock(t, m))
	}
	<-time.After(time.Second) // the first renewal brings them together
	before := s.Stats(t)
	<-time.After(3 * time.Second) // two TTLs
	cost := s.Stats(t).Since(before)
	if got := float64(cost.Scripts()) / leases / 2; got > 3.6 || got < 2 {
		t.Errorf("%.2f renewals of a lease in a TTL", got)
	}
	if cost.Published() != 0 {
		t.Errorf("renewing sends %d messages", cost.Published())
	}
	for _, l := range held {
		unlock(t, l)
	}
}

// TestCostRenewalTogether renews the leases of one client that were taken within a
// twelfth of their TTL all in one pipeline, three times a TTL.
func TestCostRenewalTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var pipelines pipelineCounter
		rdb.AddHook(&pipelines)
		var held []*mutex.Lease
		for i := range 100 {
			held = append(held, lock(t, mutex.New(rdb, fmt.Sprint("key", i))))
			time.Sleep(mutex.DefaultTTL / 12 / 100)
		}
		time.Sleep(mutex.DefaultTTL / 2) // the first renewal brings them together
		n := pipelines.n.Load()
		const ttls = 10
		time.Sleep(ttls * mutex.DefaultTTL)
		if got := pipelines.n.Load() - n; got > 3.1*ttls+1 { // of what is left of a window, which is less than a TTL
			t.Errorf("%d pipelines in %d TTLs", got, ttls)
		}
		for _, l := range held {
			unlock(t, l)
		}
	})
}

type pipelineCounter struct{ n atomic.Int64 }

func (c *pipelineCounter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *pipelineCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c *pipelineCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}

// waiting is the length of the queue of "key", in processes.
func waiting(t *testing.T, s *redistest.Server) int64 {
	t.Helper()
	return s.Do(t, "ZCARD", "baton:{key}:queue").(int64)
}
