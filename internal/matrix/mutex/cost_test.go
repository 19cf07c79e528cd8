package mutex_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The costs that DESIGN promises for one operation, by the server's own counters.

// TestCostIdle has 4 × 256 waiters wait for a held lock: at most a request a
// second for each four, and the renewals of the holder wake nobody.
func TestCostIdle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	holder := mutex.New(s.Client(t, redistest.Patient), "key")
	held := lock(t, holder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients, waiters = 4, 256
	results := make(chan mutex.Result, clients*waiters)
	var wg sync.WaitGroup
	for range clients {
		m := mutex.New(s.Client(t, redistest.Patient), "key")
		for range waiters {
			wg.Go(func() { results <- <-m.LockChan(ctx) })
		}
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return waiting(t, s) == clients }, "not all queue")
	before := s.Stats(t)
	const seconds = 3
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
	rdb := s.Client(t, redistest.Patient)
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

// waiting is the length of the queue of "key", in processes.
func waiting(t *testing.T, s *redistest.Server) int64 {
	t.Helper()
	return s.Do(t, "ZCARD", "baton:{key}:queue").(int64)
}
