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

// These tests check the documented costs of operations. The server counts operations that do not
// depend on time. The others run in bubbles, without polls.

// An uncontended hold costs a request to lock each key, and one to unlock it. With Replicas, a grant costs one
// more round trip, with a renewal and WAIT.
func TestCostUncontended(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	for _, k := range kinds {
		l, keys := k.of(rdb, k.name, longTTL), int64(1)
		if k.twoKeys {
			keys = 2
		}
		for name, get := range l.ways(t) {
			get()() // the server learns the scripts
			const n = 20
			before := s.Stats(t)
			for range n {
				get()()
			}
			if cost := s.Stats(t).Since(before); cost.Requests() != 2*n*keys || cost.Published() != 0 {
				t.Errorf("%s of %s: %d pairs cost %d requests, %d messages", name, k.name, n, cost.Requests(), cost.Published())
			}
		}
	}
	s.AddReplica(t)
	m := replicated(rdb, 1)
	m.ReplicaTimeout = 0
	unlock(t, lock(t, m))                                     // the server learns the scripts
	redistest.Eventually(t, redistest.Patience, func() bool { // a replica that stalls costs another grant
		before := s.Stats(t)
		unlock(t, lock(t, m))
		cost := s.Stats(t).Since(before)
		return cost.Scripts() == 3 && cost.Calls["wait"] == 1 && cost.Published() == 0
	}, "a confirmed pair costs 3 scripts, one WAIT and no message")
}

// A wait costs a request that queues, and a message. NotifyContention costs one more message. A hand-over
// inside a process, within its time slice, costs nothing.
func TestCostHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 2)
		for _, notify := range []bool{false, true} {
			a, b := mutex.New(all[0], "key"), mutex.New(all[1], "key")
			a.NotifyContention = notify
			messages := map[bool]int64{false: 1, true: 2}[notify]
			cycle := func() {
				h := lock(t, a)
				next := b.LockChan(t.Context())
				time.Sleep(10 * time.Millisecond)
				unlock(t, h)
				unlock(t, granted(t, next))
			}
			cycle() // opens the subscriptions
			c.CheckCost(t, fmt.Sprint("a pair of holds with NotifyContention ", notify), 4, messages, cycle)
			c.CheckCost(t, "a hundred holds of a process", 2, 0, func() {
				h := lock(t, a)
				for range 99 {
					next := a.LockChan(t.Context())
					unlock(t, h)
					h = receive(t, next)
				}
				unlock(t, h)
			})
		}
	})
}

// All holds of a client are renewed in one pipeline, three times a TTL.
func TestCostRenewalTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var pipelines atomic.Int64
		rdb.AddHook(redistest.Hook{Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
			pipelines.Add(1)
			return next(ctx, cmds)
		}})
		var all []*mutex.Lease
		for i := range 100 {
			all = append(all, lock(t, mutex.New(rdb, fmt.Sprint("key", i))))
			time.Sleep(mutex.DefaultTTL / 12 / 100)
		}
		time.Sleep(mutex.DefaultTTL / 2) // the first renewal brings them together
		n := pipelines.Load()
		const ttls = 10
		time.Sleep(ttls * mutex.DefaultTTL)
		if got := float64(pipelines.Load() - n); got > 3.1*ttls+1 { // 3 in a trust window, which is shorter than a TTL
			t.Errorf("%v pipelines in %d TTLs", got, ttls)
		}
		for _, l := range all {
			unlock(t, l)
		}
	})
}

// A reader that joins readers of its process costs nothing. The first to join after a time slice
// costs one request, which asks for messages about writers.
func TestCostReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 2)
		old := func(m *mutex.RWMutex) *mutex.Lease {
			defer time.Sleep(100 * time.Millisecond) // longer than a time slice
			return rlock(t, m)
		}
		m := newRW(all[0])
		first := old(m)
		unlock(t, rlock(t, m))
		time.Sleep(time.Millisecond)
		unlock(t, first) // the server has learned the scripts
		m = newRW(all[1])
		first = old(m)
		c.CheckCost(t, "the first to join", 1, 0, func() { unlock(t, rlock(t, m)) })
		c.CheckCost(t, "to join", 0, 0, func() {
			for range 100 {
				l := rlock(t, m)
				m.RLock()
				if !m.TryRLock() {
					t.Fatal("no reader can join")
				}
				m.RUnlock()
				m.RUnlock()
				unlock(t, l)
			}
		})
		c.CheckCost(t, "the last Unlock", 1, 0, func() { unlock(t, first) })
	})
}

// A run costs two requests. The first look at the mark costs each process one request.
func TestCostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 2)
		for _, rdb := range all {
			mutex.NewOnce(rdb, "first").Do(func() {}) // the server learns the scripts
		}
		a, b := mutex.NewOnce(all[0], "key"), mutex.NewOnce(all[1], "key")
		c.CheckCost(t, "a run", 2, 0, func() { a.Do(func() {}) })
		c.CheckCost(t, "calls after the run", 1, 0, func() {
			b.Do(func() { t.Error("it runs again") })
			for range 100 {
				a.Do(func() {})
				b.Do(func() {})
			}
		})
	})
}

// A new value costs each process two or three requests and a message, for any number of callers. A
// kept value costs one request.
func TestCostFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const processes, callers = 4, 256
		c, clients := redistest.MiniClients(t, processes)
		var all []*mutex.Flight
		for _, rdb := range clients {
			fl := mutex.NewFlight(rdb, "")
			fl.Keep = time.Hour
			all = append(all, fl)
		}
		var runs atomic.Int64
		herd := func(key string) {
			var wg sync.WaitGroup
			for _, fl := range all {
				for range callers {
					wg.Go(func() {
						_, _, err := fl.Do(t.Context(), key, func(context.Context) ([]byte, error) {
							runs.Add(1)
							time.Sleep(100 * time.Millisecond)
							return []byte("v"), nil
						})
						must(err)
					})
				}
			}
			wg.Wait()
		}
		herd("first") // the server learns the scripts
		// Some processes send a second request once they have subscribed.
		if requests, messages := c.Cost(func() { herd("cold") }); requests > 3*processes || messages != processes-1 {
			t.Errorf("a cold key costs %d requests and %d messages", requests, messages)
		}
		if n := runs.Load(); n != 2 {
			t.Errorf("%d runs for two keys", n)
		}
		c.CheckCost(t, "a warm key", processes, 0, func() {
			for _, fl := range all {
				_, _, err := fl.Do(t.Context(), "cold", mustNotRun)
				must(err)
			}
		})
	})
}
