package faults

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// limiters returns a limiter of 10 tokens behind a proxy, and a direct limiter of the same key.
func limiters(t *testing.T) (p *redistest.Proxy, far, near *semaphore.Limiter) {
	t.Helper()
	s, p := proxied(t)
	far, near = semaphore.NewLimiter(p.Client(t), "key", 0.001, 10), semaphore.NewLimiter(s.Client(t), "key", 0.001, 10)
	semaphore.NewLimiter(p.Client(t), "warm", 1, 1).Allow() // loads the script
	far.AllowN(1)
	return p, far, near
}

// expectTokens takes all available tokens, and checks their number.
func expectTokens(t *testing.T, lim *semaphore.Limiter, want int64) {
	t.Helper()
	n := int64(0)
	for lim.Allow() {
		n++
	}
	if n != want {
		t.Errorf("%d of 10 tokens are left, want %d", n, want)
	}
}

// limiterWaits has the two ways to wait.
var limiterWaits = map[string]func(context.Context, *semaphore.Limiter) error{
	"Wait":     func(ctx context.Context, l *semaphore.Limiter) error { return l.Wait(ctx) },
	"WaitChan": func(ctx context.Context, l *semaphore.Limiter) error { return <-l.WaitChan(ctx) },
}

// TestFaultLimiterLost loses replies (row 32), and then the server (row 44). A wait is repeated, takes one
// token, and continues after the outage. A try is not repeated, and does not allow the event. If ctx is
// done during an outage, the error contains both reasons.
func TestFaultLimiterLost(t *testing.T) {
	each(t, limiterWaits, func(t *testing.T, wait func(context.Context, *semaphore.Limiter) error) {
		p, far, near := limiters(t)
		p.CutNextReply("evalsha")
		p.CutNextReply("evalsha")
		check(t, wait(t.Context(), far))
		expectFault(t, "replies were cut", p.Faults().RepliesCut, 2)
		p.CutNextReply("evalsha")
		if ok, err := far.AllowContext(t.Context()); ok || err == nil || !strings.Contains(err.Error(), `allow "key"`) {
			t.Errorf("without a reply: %t, %v", ok, err)
		}

		p.Refuse(true)
		if far.Allow() {
			t.Error("allowed without Redis")
		}
		const timeout = time.Second // an attempt fails within it, even on a busy machine
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		start := time.Now()
		err := wait(ctx, far)
		checkBound(t, "a wait in an outage", start, timeout)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(Redis: ") {
			t.Errorf("the error is %v", err)
		}
		time.AfterFunc(300*time.Millisecond, func() { p.Refuse(false) })
		check(t, wait(t.Context(), far))
		expectTokens(t, near, 6) // the first event, two waits and a try without a reply took one each
	})
}
