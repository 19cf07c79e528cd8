package mutex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The documented costs of one operation, by the server's own counters.

// TestCostIdle waits for a held lock with 256 waiters in each of 4 processes. Each process sends at most
// one request per second, and the holder's renewals wake no waiter.
func TestCostIdle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	holder := mutex.New(s.Client(t, redistest.Patient), "key")
	held := lock(t, holder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients, waiters = 4, 256
	var wg sync.WaitGroup
	for range clients {
		m := mutex.New(s.Client(t, redistest.Patient), "key")
		for range waiters {
			wg.Go(func() { <-m.LockChan(ctx) })
		}
	}
	awaitQueue(t, s, clients)
	before := s.Stats(t)
	const seconds = 3
	<-time.After(seconds * time.Second) // the measured time
	cost := s.Stats(t).Since(before)
	renewals := int64(seconds/(holder.TTL.Seconds()/3)) + 1
	if most := int64(clients*seconds) + renewals; cost.Requests() > most || cost.Published() != 0 {
		t.Errorf("%d waiters cost %d requests and %d messages in %d s, want at most %d requests", clients*waiters, cost.Requests(), cost.Published(), seconds, most)
	}
	cancel()
	wg.Wait()
	unlock(t, held)
}
