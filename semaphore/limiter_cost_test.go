package semaphore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestLimiterWaitLeavesNoKeys waits many times: only the last wait's record is still there.
func TestLimiterWaitLeavesNoKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		lim := semaphore.NewLimiter(rdb, "key", 1e6, 10)
		for range 50 {
			if err := lim.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if left := rdb.Keys(t.Context(), "baton:{key}:*").Val(); len(left) != 1 {
			t.Errorf("%d keys are left: %v", len(left), left)
		}
	})
}

// TestLimiterCost counts by the server's own counters: a decision costs one
// request, whether it has to wait or not, and nothing polls or is published.
func TestLimiterCost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	lim := semaphore.NewLimiter(s.Client(t, redistest.Patient), "key", 200, 10)
	lim.Allow() // the server learns the script
	requests := func(what string, want int64, f func()) {
		t.Helper()
		before := s.Stats(t)
		f()
		cost := s.Stats(t).Since(before)
		if cost.Requests() != want || cost.Published() != 0 {
			t.Errorf("%s cost %d requests and %d messages, want %d requests", what, cost.Requests(), cost.Published(), want)
		}
	}
	requests("50 tries", 50, func() {
		for range 50 {
			lim.Allow()
		}
	})
	requests("100 who wait, and 100 in channels", 200, func() {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := lim.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := <-lim.WaitChan(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	requests("what cannot be", 0, func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if lim.AllowN(11) || lim.WaitN(t.Context(), 11) == nil || lim.Wait(ctx) == nil || <-lim.WaitChan(ctx) == nil {
			t.Error("allowed")
		}
	})
	requests("a wait that is too long, and one that is cancelled", 3, func() {
		slow := semaphore.NewLimiter(s.Client(t, redistest.Patient), "slow", 1, 1)
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if !slow.Allow() || slow.Wait(short) == nil {
			t.Error("not as expected")
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		_ = slow.Wait(ctx)                      // none
		if short.Err() != nil || slow.Allow() { // the third
			t.Error("not as expected")
		}
	})
}
