package lease

import (
	"runtime"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// A campaign must not lock the mutex of its queue while it holds its own. Renewals, the end of a ctx
// and a loss lock them in the other order.
func TestTermIsDeliveredWhileItsQueueIsBusy(t *testing.T) {
	s := newFakeStore(newFakeRedis())
	m := NewManager(s)
	for range 200 {
		sink := result.NewChan[error](result.ErrorOnly{})
		c := &campaign{term: NewTerm(s, "v"), ctx: t.Context(), manager: m, sink: sink, params: Params{Kind: Mutex, Key: "key", TTL: time.Minute, Weight: 1}}
		c.start()
		q := c.lease.queue
		end := time.NewTimer(10 * time.Second)
		for delivered := false; !delivered; {
			select {
			case err := <-sink.C():
				if delivered = true; err != nil {
					t.Fatal(err)
				}
			case <-end.C:
				t.Fatal("the term is not delivered")
			default:
				q.mu.Lock()
				runtime.Gosched()
				if c.mu.TryLock() { // Lock would never return if the test fails
					c.mu.Unlock()
				} else {
					held := time.Now()
					for !c.mu.TryLock() {
						if runtime.Gosched(); time.Since(held) > 10*time.Second {
							t.Fatal("the campaign locks the mutex of its queue while it holds its own")
						}
					}
					c.mu.Unlock()
				}
				q.mu.Unlock()
			}
		}
		end.Stop()
		if err := c.term.Resign(); err != nil {
			t.Fatal(err)
		}
	}
}
