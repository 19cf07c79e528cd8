package mutex_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestClusterSlotMovesWhileClaimsLinger moves the slot of a lock (rows 9 and 74): key by key, or in one
// step with the writes paused for 10 s. One process locks the key repeatedly without requests, another
// locks it sometimes. They always exclude each other. With a TTL longer than the pause, no lease is
// lost. With a shorter TTL, both processes continue.
func TestClusterSlotMovesWhileClaimsLinger(t *testing.T) {
	t.Parallel()
	const pause = 10 * time.Second
	moves := map[string]func(*testing.T, *redistest.Cluster, int64){
		"KeyByKey": func(t *testing.T, c *redistest.Cluster, slot int64) {
			refused := c.Errors(t, "TRYAGAIN")
			m := c.Migrate(t, slot)
			m.Move(t, "key")
			redistest.Eventually(t, redistest.Patience, func() bool { return c.Errors(t, "TRYAGAIN") > refused }, "scripts are refused while the keys are on two nodes")
			m.Finish(t)
		},
		"AtOnce": func(t *testing.T, c *redistest.Cluster, slot int64) {
			c.WhileWritesArePaused(t, slot, pause, func() { c.MoveAtOnce(t, slot) })
		},
	}
	for name, move := range moves {
		for ttl, outlasts := range map[time.Duration]bool{2 * time.Second: false, 30 * time.Second: true} {
			t.Run(name+ttl.String(), func(t *testing.T) {
				t.Parallel()
				c := redistest.StartCluster(t, 2)
				slot := c.Slot(t, "key")
				var holder atomic.Pointer[mutex.Lease]
				var last atomic.Int64
				ctx, stop := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				defer wg.Wait()
				defer stop()
				// use locks repeatedly, and counts the holds.
				use := func(linger, every time.Duration) *atomic.Int64 {
					m := mutex.New(c.Client(t), "key")
					m.TTL, m.Linger = ttl, linger
					n := new(atomic.Int64)
					wg.Go(func() {
						for ctx.Err() == nil {
							l, err := m.LockContext(ctx)
							if err != nil {
								if ctx.Err() == nil {
									t.Error(err)
								}
								return
							}
							if other := holder.Swap(l); other != nil && other.Err() == nil {
								t.Error("two processes hold the lock")
							}
							if fence := l.Fence(); last.Swap(fence) >= fence {
								t.Errorf("fence %d is not above the last", fence)
							}
							time.Sleep(time.Millisecond) // gives another hold time to overlap
							holder.CompareAndSwap(l, nil)
							if err := l.Unlock(); err != nil && outlasts {
								t.Errorf("Unlock: %v", err)
							}
							n.Add(1)
							select {
							case <-time.After(every):
							case <-ctx.Done():
							}
						}
					})
					return n
				}
				often, seldom := use(ttl/10, time.Millisecond), use(0, 100*time.Millisecond)
				proceed := func() {
					t.Helper()
					a, b := often.Load(), seldom.Load()
					redistest.Eventually(t, 2*redistest.Patience, func() bool { return often.Load() > a+20 && seldom.Load() > b+3 }, "both continue")
				}
				for range 2 {
					proceed()
					move(t, c, slot)
				}
				proceed()
			})
		}
	}
}
