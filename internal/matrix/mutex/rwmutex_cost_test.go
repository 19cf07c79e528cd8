package mutex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// What one operation may cost, by the server's own counters.

// TestRWMutexCostIdle has readers and writers of four processes wait for a writer:
// at most a request a second for each process, and nobody is woken.
func TestRWMutexCostIdle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	holder := mutex.NewRW(s.Client(t, redistest.Patient), "key")
	held := wlock(t, holder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients, waiters, seconds = 4, 64, 2
	var wg sync.WaitGroup
	for range clients {
		m := mutex.NewRW(s.Client(t, redistest.Patient), "key")
		for i := range waiters {
			lock := m.RLockChan
			if i%2 == 1 {
				lock = m.LockChan
			}
			wg.Go(func() { <-lock(ctx) })
		}
	}
	awaitRWQueue(t, s, clients)
	before := s.Stats(t)
	<-time.After(seconds * time.Second) // the time is what is measured
	cost := s.Stats(t).Since(before)
	renewals := int64(seconds/(holder.TTL.Seconds()/3)) + 1
	if most := int64(clients*seconds) + renewals; cost.Requests() > most || cost.Published() != 0 {
		t.Errorf("%d waiters cost %d requests and %d messages in %d s, at most %d is promised", clients*waiters, cost.Requests(), cost.Published(), seconds, most)
	}
	cancel()
	wg.Wait()
	unlock(t, held)
	rwRests(t, s, 0)
}
