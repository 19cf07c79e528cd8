package semaphore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestInspect inspects a semaphore that one process uses, while another process waits.
func TestInspect(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		mine, other := semaphore.NewWeighted(rdb, "key", 5), semaphore.NewWeighted(sibling(t, rdb), "key", 5)
		mine.Label, other.Label = "mine", "other"
		if s, err := mine.Inspect(t.Context()); err != nil || s.Size != 0 || s.Used != 0 || len(s.Holders) > 0 {
			t.Errorf("%+v, %v", s, err)
		}
		one, three := acquire(t, mine, 1), acquire(t, mine, 3)
		c := other.AcquireChan(t.Context(), 2)
		awaitQueue(t, rdb, 1)
		s, err := other.Inspect(t.Context())
		if err != nil || s.Size != 5 || s.Used != 4 || len(s.Holders) != 1 || s.Next.Label != "other" || s.NextPermits != 2 || len(s.Queue) != 1 || s.Queue[0].Label != "other" || s.Queue[0].Permits != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		if h := s.Holders[0]; h.Label != "mine" || h.Permits != 4 || h.Remaining <= 0 || h.Remaining > mine.TTL || h.Fence > three.Fence() {
			t.Errorf("%+v, with the fence %d", h, three.Fence())
		}
		release(t, one)
		two := receive(t, c)
		if s, err := mine.Inspect(t.Context()); err != nil || s.Used != 5 || len(s.Holders) != 2 || s.Waiters != 0 {
			t.Errorf("%+v, %v", s, err)
		}
		release(t, three)
		release(t, two)
	})
}

// TestLimiterInspect inspects a limiter through one with another limit and burst: the result contains
// the values in Redis.
func TestLimiterInspect(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		lim, other := semaphore.NewLimiter(rdb, "key", 0.01, 5), semaphore.NewLimiter(sibling(t, rdb), "key", 7, 9)
		if s, err := other.Inspect(t.Context()); err != nil || s != (semaphore.LimiterStatus{Limit: 7, Burst: 9, Tokens: 9}) {
			t.Errorf("a full bucket: %+v, %v", s, err)
		}
		lim.AllowN(3)
		if s, err := other.Inspect(t.Context()); err != nil || s.Limit != 0.01 || s.Burst != 5 || int(s.Tokens) != 2 || s.Reserved != 0 || s.Next != 0 {
			t.Errorf("after three of five: %+v, %v", s, err)
		}
		lim.AllowN(2)
		ctx, cancel := context.WithCancel(t.Context())
		wait, second := lim.WaitChan(ctx), lim.WaitChan(ctx)
		var s semaphore.LimiterStatus
		redistest.Eventually(t, 5*time.Second, func() bool {
			s, _ = other.Inspect(t.Context())
			return s.Reserved > 0.9
		}, "a token is reserved: %+v", &s)
		if s.Tokens != 0 || s.Reserved > 2 || s.Next < 150*time.Second || s.Next > 300*time.Second {
			t.Errorf("one or two reserved tokens: %+v", s)
		}
		cancel()
		<-wait
		<-second
		rdb.Set(t.Context(), "key", "a string", 0)
		if _, err := other.Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), `inspect "key": `) {
			t.Error(err)
		}
	})
}
