package semaphore_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestInspect inspects a semaphore that one process uses, while another process waits.
func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		mine, other := weightedOf(rdb, 5, ample), weightedOf(sibling(t, rdb), 5, ample)
		mine.Label, other.Label = "mine", "other"
		if s, err := mine.Inspect(t.Context()); err != nil || s.Size != 0 || s.Used != 0 || len(s.Holders) > 0 {
			t.Errorf("%+v, %v", s, err)
		}
		one, three := acquire(t, mine, 1), acquire(t, mine, 3)
		c := queued(t, rdb, other, 2, 1)
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
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		lim, other := semaphore.NewLimiter(rdb, "key", 0.01, 5), semaphore.NewLimiter(sibling(t, rdb), "key", 7, 9)
		check := func(what string, want semaphore.LimiterStatus) {
			t.Helper()
			s, err := other.Inspect(t.Context())
			if s.Next = s.Next.Round(time.Second); err != nil || s != want {
				t.Errorf("%s: %+v, %v", what, s, err)
			}
		}
		check("a full bucket", semaphore.LimiterStatus{Limit: 7, Burst: 9, Tokens: 9})
		lim.AllowN(3)
		check("after three of five", semaphore.LimiterStatus{Limit: 0.01, Burst: 5, Tokens: 2})
		lim.AllowN(2)
		ctx, cancel := context.WithCancel(t.Context())
		wait, second := lim.WaitChan(ctx), lim.WaitChan(ctx)
		synctest.Wait()
		check("two reserved tokens", semaphore.LimiterStatus{Limit: 0.01, Burst: 5, Reserved: 2, Next: 300 * time.Second})
		cancel()
		<-wait
		<-second
		rdb.Set(t.Context(), "key", "a string", 0)
		if _, err := other.Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), `inspect "key": `) {
			t.Error(err)
		}
	})
}
