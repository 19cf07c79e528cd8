package semaphore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestInspect looks at a semaphore that one process uses and another awaits.
func TestInspect(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		mine, other := semaphore.NewWeighted(rdb, "key", 5), semaphore.NewWeighted(sibling(t, rdb), "key", 5)
		mine.Label, other.Label = "mine", "other"
		if s, err := mine.Inspect(t.Context()); err != nil || s.Size != 0 || s.Used != 0 || len(s.Holders) > 0 {
			t.Errorf("%+v, %v", s, err)
		}
		one, err := mine.AcquireLease(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		three, err := mine.AcquireLease(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		c := other.AcquireChan(t.Context(), 2)
		var s semaphore.Status
		redistest.Eventually(t, 5*time.Second, func() bool {
			s, err = other.Inspect(t.Context())
			return err != nil || s.Waiters == 1
		}, "nobody waits")
		if err != nil || s.Size != 5 || s.Used != 4 || len(s.Holders) != 1 || s.Next.Label != "other" || s.NextPermits != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		if h := s.Holders[0]; h.Label != "mine" || h.Permits != 4 || h.Remaining <= 0 || h.Remaining > mine.TTL || h.Fence > three.Fence() {
			t.Errorf("%+v, with the fence %d", h, three.Fence())
		}
		if err := one.Release(); err != nil {
			t.Error(err)
		}
		r := <-c
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if s, err := mine.Inspect(t.Context()); err != nil || s.Used != 5 || len(s.Holders) != 2 || s.Waiters != 0 {
			t.Errorf("%+v, %v", s, err)
		}
		for _, l := range []*semaphore.Lease{three, r.Lease} {
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
		if _, err := semaphore.NewWeighted(rdb, "", 5).Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "the key is empty") {
			t.Error(err)
		}
	})
}
