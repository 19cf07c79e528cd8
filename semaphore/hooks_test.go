package semaphore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// Each request for a single caller has the values of the caller's ctx: the first, the polls, the
// release, the withdrawal, and the retries of all.
func TestRequestsOfASingleCallerCarryItsValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tenants redistest.Tenants
		rdb := bubbleClient(t)
		client := sibling(t, rdb)
		tenants.AddToFailing(client)
		s, rival := weightedOf(client, 2, ample), weightedOf(rdb, 2, ample)
		ctx := tenants.Context(t.Context(), "key")
		first := acquire(t, rival, 1)
		mine, err := s.AcquireLease(ctx, 1)
		must(err)
		more := s.AcquireChan(ctx, 1)
		time.Sleep(4 * time.Second)
		release(t, first)
		another := receive(t, more)
		release(t, mine) // the process keeps one permit
		release(t, another)

		second := acquire(t, rival, 2)
		cut, cancel := context.WithTimeout(ctx, 4*time.Second)
		defer cancel()
		if _, err := s.AcquireLease(cut, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("AcquireLease without permits: %v", err)
		}
		time.Sleep(time.Second)
		release(t, second)

		l := semaphore.NewLimiter(client, "key of a limiter", 1, 1)
		must(l.Wait(ctx))
		cut, cancel = context.WithCancel(ctx)
		waited := l.WaitChan(cut)
		time.Sleep(100 * time.Millisecond)
		cancel() // refunds the tokens
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		time.Sleep(time.Second)
		tenants.CheckAll(t)
	})
}
