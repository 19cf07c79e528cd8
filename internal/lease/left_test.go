package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeft looks at what is left of holds: it falls with the time, rises by a
// renewal, is that of the shortest for several keys, and nothing once it is over.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper(newFakeStore(newFakeRedis()))
		params := Params{Kind: Mutex, Key: "a", TTL: 9 * time.Second, Weight: 1}
		whole := newWindow(time.Now(), params.TTL).length
		var l Lease
		if err := l.Acquire(t.Context(), k, &params); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var g Group
		if err := g.Acquire(context.Background(), k, params, []string{"b", "c"}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []struct{ after, left time.Duration }{
			{0, whole}, {2 * time.Second, whole - 2*time.Second}, {params.TTL/3 + time.Millisecond, whole - time.Millisecond}, // renewed at a third
		} {
			time.Sleep(time.Until(start.Add(at.after)))
			synctest.Wait()
			for what, left := range map[string]time.Duration{"the lease": l.Left(), "the group": g.Left()} {
				if off := left - at.left; off < -100*time.Millisecond || off > 100*time.Millisecond {
					t.Errorf("after %v, %s has %v left, not %v", at.after, what, left, at.left)
				}
			}
		}
		_ = g.leases[1].Release()
		if short := g.Left(); short != 0 {
			t.Errorf("one of the group has ended, and it has %v left", short)
		}
		_, _ = l.Release(), g.Release()
		if l.Left() != 0 || g.Left() != 0 {
			t.Errorf("both have ended, and have %v and %v left", l.Left(), g.Left())
		}
	})
}
