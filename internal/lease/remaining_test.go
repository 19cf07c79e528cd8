package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// TestRemaining looks at what is left of holds: it falls with the time, rises by a
// renewal, is that of the shortest for several keys, and nothing once it is over.
func TestRemaining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager(newFakeStore(newFakeRedis()))
		params := Params{Kind: Mutex, Key: "a", TTL: 9 * time.Second, Weight: 1}
		whole := client.NewTrustWindow(time.Now(), params.TTL).Remaining(time.Now())
		var l Lease
		if err := l.Acquire(t.Context(), m, &params); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var g MultiLease
		if err := g.Acquire(context.Background(), m, params, []string{"b", "c"}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []struct{ after, remaining time.Duration }{
			{0, whole}, {2 * time.Second, whole - 2*time.Second}, {params.TTL/3 + time.Millisecond, whole - time.Millisecond}, // renewed at a third
		} {
			time.Sleep(time.Until(start.Add(at.after)))
			synctest.Wait()
			for what, remaining := range map[string]time.Duration{"the lease": l.Remaining(), "the group": g.Remaining()} {
				if off := remaining - at.remaining; off < -100*time.Millisecond || off > 100*time.Millisecond {
					t.Errorf("after %v, %s has %v left, not %v", at.after, what, remaining, at.remaining)
				}
			}
		}
		_ = g.leases[1].Release()
		if short := g.Remaining(); short != 0 {
			t.Errorf("one of the group has ended, and it has %v left", short)
		}
		_, _ = l.Release(), g.Release()
		if l.Remaining() != 0 || g.Remaining() != 0 {
			t.Errorf("both have ended, and have %v and %v left", l.Remaining(), g.Remaining())
		}
	})
}
