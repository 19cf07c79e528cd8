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

// Each request of a caller that is alone has the values of its ctx: the first, the polls, those
// that withdraw it or give permits back, and the repetitions of all.
func TestEachRequestOfALoneCallerCarriesItsValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tenants redistest.Tenants
		rdb := bubbleClient(t)
		alone := sibling(t, rdb)
		tenants.Alone(alone)
		s, rival := weightedOf(alone, 2, ample), weightedOf(rdb, 2, ample)
		ctx := tenants.Context(t.Context(), "key")
		first := acquire(t, rival, 1)
		mine, err := s.AcquireLease(ctx, 1)
		must(err)
		more := s.AcquireChan(ctx, 1)
		time.Sleep(4 * time.Second)
		release(t, first)
		another := receive(t, more)
		release(t, mine) // and keeps a part
		release(t, another)

		second := acquire(t, rival, 2)
		cut, cancel := context.WithTimeout(ctx, 4*time.Second)
		defer cancel()
		if _, err := s.AcquireLease(cut, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("there are no permits: %v", err)
		}
		time.Sleep(time.Second)
		release(t, second)

		l := semaphore.NewLimiter(alone, "key of a limiter", 1, 1)
		must(l.Wait(ctx))
		cut, cancel = context.WithCancel(ctx)
		waited := l.WaitChan(cut)
		time.Sleep(100 * time.Millisecond)
		cancel() // the tokens are given back
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		time.Sleep(time.Second)
		tenants.CheckAll(t)
	})
}
