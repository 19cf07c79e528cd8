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

// TestCostConfirmed is the cost of Replicas: a renewal and WAIT, in one round trip.
func TestCostConfirmed(t *testing.T) {
	s := redistest.Start(t)
	s.AddReplica(t)
	m := mutex.New(s.Client(t, redistest.Patient), "key")
	m.Replicas = 1
	pair := func() { unlock(t, lock(t, m)) }
	pair() // the server learns the scripts
	const n = 200
	before := s.Stats(t)
	for range n {
		pair()
	}
	cost := s.Stats(t).Since(before)
	if cost.Scripts() != 3*n || cost.Calls["wait"] != n || cost.Published() != 0 {
		t.Errorf("%d pairs cost %d scripts, %d WAIT, %d messages", n, cost.Scripts(), cost.Calls["wait"], cost.Published())
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
// time slice costs a request, a hold costs none.
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

// TestCostOnce is the cost of a run, and of finding that it is done.
func TestCostOnce(t *testing.T) {
	s := redistest.Start(t)
	a, b := mutex.NewOnce(s.Client(t, redistest.Patient), "key"), mutex.NewOnce(s.Client(t, redistest.Patient), "key")
	do := func(o *mutex.Once) {
		_, err := o.DoContext(t.Context(), func(context.Context) error { return nil })
		must(err)
	}
	do(a) // the server learns the scripts
	must(a.Reset(t.Context()))
	before := s.Stats(t)
	do(a)
	if cost := s.Stats(t).Since(before); cost.Requests() != 2 || cost.Published() != 0 {
		t.Errorf("a run costs %d requests, %d messages", cost.Requests(), cost.Published())
	}
	before = s.Stats(t)
	do(b)
	for range 100 {
		a.Do(func() {})
	}
	if cost := s.Stats(t).Since(before); cost.Requests() != 2 || cost.Published() != 0 { // one is of the first Do
		t.Errorf("two that find it done cost %d requests, %d messages", cost.Requests(), cost.Published())
	}
}

// TestCostFlight has a herd of 4 processes × 256 goroutines on a cold key, and on a warm one.
func TestCostFlight(t *testing.T) {
	const processes, callers = 4, 256
	s := redistest.Start(t)
	var fls [processes]*mutex.Flight
	var clients [processes]*redis.Client
	for i := range fls {
		clients[i] = s.Client(t, redistest.Patient)
		fls[i] = mutex.NewFlight(clients[i], "")
		fls[i].Keep = time.Hour
	}
	var runs atomic.Int64
	herd := func(key string) (cost redistest.Stats, polls int64) {
		// Each process is subscribed, as it waits for another lock.
		held := lock(t, mutex.New(s.Client(t, redistest.Patient), "other"))
		var others []<-chan mutex.Result
		ctx, cancel := context.WithCancel(t.Context())
		for _, rdb := range clients {
			others = append(others, mutex.New(rdb, "other").LockChan(ctx))
		}
		redistest.Eventually(t, redistest.Patience, func() bool { return s.Do(t, "ZCARD", "baton:{other}:queue") == int64(processes) }, "all wait")
		before, start := s.Stats(t), time.Now()
		var wg sync.WaitGroup
		for _, fl := range fls {
			for range callers {
				wg.Go(func() {
					_, _, err := fl.Do(ctx, key, func(context.Context) ([]byte, error) {
						runs.Add(1)
						redistest.Eventually(t, redistest.Patience, func() bool {
							n := 0
							for _, fl := range fls {
								n += mutex.FlightCallers(fl, key)
							}
							return n == processes*callers && s.Do(t, "ZCARD", "baton:{"+key+"}:queue") == int64(processes-1)
						}, "all wait")
						return []byte("v"), nil
					})
					must(err)
				})
			}
		}
		wg.Wait()
		cost = s.Stats(t).Since(before)
		polls = 2 * processes * int64(time.Since(start)/(900*time.Millisecond)+1) // of both locks
		cancel()
		for _, ch := range others {
			<-ch
		}
		unlock(t, held)
		return cost, polls
	}
	herd("first") // the server learns the scripts
	if cost, polls := herd("cold"); cost.Scripts() > 2*processes+polls || cost.Published() != processes-1 || cost.Subscribes() != 0 {
		t.Errorf("a cold key cost %d requests, %d messages, %d subscriptions", cost.Scripts(), cost.Published(), cost.Subscribes())
	}
	if runs.Load() != 2 {
		t.Errorf("%d runs for two keys", runs.Load())
	}
	before := s.Stats(t)
	for _, fl := range fls {
		_, _, err := fl.Do(t.Context(), "cold", func(context.Context) ([]byte, error) { panic("it was kept") })
		must(err)
	}
	if cost := s.Stats(t).Since(before); cost.Requests() != processes || cost.Published() != 0 {
		t.Errorf("%d calls on a warm key cost %d requests, %d messages", processes, cost.Requests(), cost.Published())
	}
}
