package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// TestRemaining checks that Remaining falls with time, rises with a renewal, is the shortest of
// several keys, and is zero after the end.
func TestRemaining(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		params := params(9 * time.Second)
		whole := client.NewTrustWindow(time.Now(), params.TTL).Remaining(time.Now())
		l := e.acquire(m, params)
		start := time.Now()
		var ml MultiLease
		if err := ml.Acquire(e.Context(), m, params, []string{"b", "c"}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []struct{ after, remaining time.Duration }{
			{0, whole}, {2 * time.Second, whole - 2*time.Second}, {params.TTL/3 + time.Millisecond, whole - time.Millisecond}, // renewed after a third
		} {
			time.Sleep(time.Until(start.Add(at.after)))
			synctest.Wait()
			for what, remaining := range map[string]time.Duration{"the lease": l.Remaining(), "several keys": ml.Remaining()} {
				if off := remaining - at.remaining; off < -100*time.Millisecond || off > 100*time.Millisecond {
					t.Errorf("after %v, %s: %v remaining, want %v", at.after, what, remaining, at.remaining)
				}
			}
		}
		_ = ml.leases[1].Release()
		if remaining := ml.Remaining(); remaining != 0 {
			t.Errorf("one of several keys has ended, and %v remain", remaining)
		}
		_, _ = l.Release(), ml.Release()
		if l.Remaining() != 0 || ml.Remaining() != 0 {
			t.Errorf("both have ended, and %v and %v remain", l.Remaining(), ml.Remaining())
		}
	})
}
