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
	m := mutex.New(s.Client(t, redistest.Patient), "key")
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
	a, b := mutex.New(s.Client(t, redistest.Patient), "key"), mutex.New(s.Client(t, redistest.Patient), "key")
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
		m := mutex.New(s.Client(t, redistest.Patient), "key")
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
	m := mutex.New(s.Client(t, redistest.Patient), "key")
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
