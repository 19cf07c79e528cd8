package mutex_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRWMutexFences has four processes read and write: the fence of a writer is
// above all before it, that of a reader above all writers before it.
func TestRWMutexFences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 4)
		var mu sync.Mutex
		var all, written int64
		var wg sync.WaitGroup
		for _, m := range fleet {
			for range 4 {
				wg.Go(func() {
					for range 25 {
						write := rand.IntN(4) == 0
						lock := m.RLockContext
						if write {
							lock = m.LockContext
						}
						l, err := lock(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						switch fence := l.Fence(); {
						case write && fence <= all:
							t.Errorf("a writer's fence is %d, after %d", fence, all)
						case fence <= written:
							t.Errorf("a reader's fence is %d, after a writer's %d", fence, written)
						case write:
							written = fence
						}
						all = max(all, l.Fence())
						mu.Unlock()
						time.Sleep(rand.N(time.Millisecond))
						unlock(t, l)
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestRWMutexManyReaders has more readers join than a claim has fences for.
func TestRWMutexManyReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := bubbleFleet(t, 1)[0]
		before := wlock(t, m)
		unlock(t, before)
		var readers []*mutex.Lease
		for i := range 3000 {
			l := rlock(t, m)
			if l.Fence() <= before.Fence() || i > 0 && l.Fence() < readers[i-1].Fence() {
				t.Fatalf("reader %d has the fence %d, after a writer's %d", i, l.Fence(), before.Fence())
			}
			readers = append(readers, l)
		}
		last := readers[len(readers)-1].Fence()
		for _, l := range readers {
			unlock(t, l)
		}
		if w := wlock(t, m); w.Fence() <= last {
			t.Errorf("a writer's fence is %d, after a reader's %d", w.Fence(), last)
		} else {
			unlock(t, w)
		}
	})
}
