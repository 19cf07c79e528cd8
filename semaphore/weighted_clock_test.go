package semaphore_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestWeightedClocks has the processes' clocks an hour before that of Redis, or
// behind it. The permits of a process that lives stay its own for many TTLs, and
// those of one that dies come back after one.
func TestWeightedClocks(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"before": -time.Hour, "behind": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const ttl = time.Second
				mini := redistest.Mini(t)
				mini.SetTime(time.Now().Add(ahead))
				over := make(chan struct{})
				defer close(over)
				go func() { // SetTime stops the clock, too
					for {
						select {
						case <-time.After(2 * time.Millisecond):
							mini.SetTime(time.Now().Add(ahead))
						case <-over:
							return
						}
					}
				}()
				rdb, mortal := redistest.MiniClient(t, mini), redistest.MiniClient(t, mini)
				t.Cleanup(func() { time.Sleep(time.Second) })
				l := acquire(t, weightedOf(mortal, 10, ttl), 7)
				other := weightedOf(rdb, 10, ttl)
				kept := acquire(t, other, 3)
				waits := other.AcquireChan(t.Context(), 7)
				for range 20 {
					excludes(t, "10 of 10 are in use", waits, ttl)
					if other.TryAcquire(1) || l.Err() != nil || kept.Err() != nil {
						t.Fatalf("the holds say %v, %v", l.Err(), kept.Err())
					}
				}
				start := time.Now()
				mortal.Close() // it dies
				r := <-waits
				if took := time.Since(start); r.Err != nil || took < ttl/2 || took > ttl+poll {
					t.Fatalf("the permits of a dead process came back after %v: %v", took, r.Err)
				}
				release(t, r.Lease)
				release(t, kept)
				if err := l.Release(); !errors.Is(err, semaphore.ErrLost) {
					t.Errorf("Release of what was lost returned %v", err)
				}
			})
		})
	}
}
