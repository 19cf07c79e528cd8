package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultFailoverForgets fails over to one of two replicas, which is connected but has not received the
// last grants (row 75). Without Replicas, each lock is granted twice. With one confirmation, which comes
// from the other replica, too. With two or all confirmations, no lock is granted.
func TestFaultFailoverForgets(t *testing.T) {
	t.Parallel()
	const locks, ttl = 8, 30 * time.Second // none is renewed before the failover
	runTogether(t, map[string]struct{ replicas, granted, twice int }{
		"None":        {0, locks, locks},
		"One":         {1, locks, locks},
		"Two":         {2, 0, 0},
		"AllReplicas": {mutex.AllReplicas, 0, 0},
	}, func(t *testing.T, r struct{ replicas, granted, twice int }) {
		master := redistest.Start(t)
		master.AddReplica(t)
		link := redistest.NewForward(t, master.Addr())
		behind := master.AddReplicaAt(t, link.Port(), "--replica-priority", "1") // the sentinels prefer it
		s := redistest.WatchBySentinels(t, master, behind, 2)
		rdb, other := s.Client(t), s.Client(t)
		link.Hold()

		var mu sync.Mutex
		held := map[string]*mutex.Lease{}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for i := range locks {
			key := fmt.Sprint("key ", i)
			m := mutex.New(rdb, key)
			m.TTL, m.Replicas = ttl, r.replicas
			wg.Go(func() {
				l, err := m.LockContext(ctx)
				if mu.Lock(); err == nil {
					held[key] = l
				} else if !errors.Is(err, mutex.ErrUnconfirmed) && !errors.Is(err, context.DeadlineExceeded) { // before the first reply, on a busy machine
					t.Errorf("%s: %v", key, err)
				}
				mu.Unlock()
			})
		}
		wg.Wait()
		master.Kill()
		link.Close()
		s.Promoted(t)

		twice := 0
		for i := range locks {
			key := fmt.Sprint("key ", i)
			l, err := mutex.New(other, key).LockContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if first := held[key]; first != nil && first.Err() == nil {
				if twice++; first.Fence() >= l.Fence() {
					t.Errorf("%s: fence %d precedes %d", key, first.Fence(), l.Fence())
				}
			}
			unlock(t, l)
		}
		if len(held) != r.granted || twice != r.twice {
			t.Errorf("%d locks granted, %d of them held twice; want %d and %d", len(held), twice, r.granted, r.twice)
		}
		for _, l := range held {
			_ = l.Unlock()
		}
	})
}
