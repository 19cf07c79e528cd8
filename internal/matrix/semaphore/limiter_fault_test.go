package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// slack is added to bounds of milliseconds for a busy machine.
const slack = 300 * time.Millisecond

// proxied returns a limiter behind a proxy, and a direct limiter of the same key.
func proxied(t *testing.T, r semaphore.Limit, burst int) (*redistest.Proxy, *semaphore.Limiter, *semaphore.Limiter) {
	s, p := kit.StartWithProxy(t)
	far := semaphore.NewLimiter(p.Client(t), "key", r, burst)
	near := semaphore.NewLimiter(s.Client(t), "key", r, burst)
	warm := semaphore.NewLimiter(p.Client(t), "warm", r, burst)
	warm.Allow() // loads the script
	far.AllowN(1)
	return p, far, near
}

// takeRemaining takes all available tokens, and returns their number.
func takeRemaining(t *testing.T, lim *semaphore.Limiter) (n int) {
	for lim.Allow() {
		n++
	}
	return n
}

// TestFaultLimiterLostReply loses the reply to a wait. The request is repeated, and takes one token.
func TestFaultLimiterLostReply(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(context.Context, *semaphore.Limiter) error{
		"Wait":     func(ctx context.Context, l *semaphore.Limiter) error { return l.Wait(ctx) },
		"WaitChan": func(ctx context.Context, l *semaphore.Limiter) error { return <-l.WaitChan(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			p, far, near := proxied(t, 0.001, 10)
			p.CutNextReply("evalsha")
			p.CutNextReply("evalsha")
			if err := wait(t.Context(), far); err != nil {
				t.Fatal(err)
			}
			if n := takeRemaining(t, near); n != 8 || p.Faults().RepliesCut != 2 {
				t.Errorf("%d of 10 tokens are left after two events, with %d replies cut", n, p.Faults().RepliesCut)
			}
		})
	}
}

// TestFaultLimiterAllow: a try without a reply is not repeated, and does not allow the event.
func TestFaultLimiterAllow(t *testing.T) {
	t.Parallel()
	p, far, near := proxied(t, 0.001, 10)
	p.CutNextReply("evalsha")
	if ok, err := far.AllowContext(t.Context()); ok || err == nil || !strings.Contains(err.Error(), `allow "key"`) {
		t.Errorf("without a reply: %t, %v", ok, err)
	}
	if n := takeRemaining(t, near); n != 8 {
		t.Errorf("%d tokens are left", n)
	}
	p.Refuse(true)
	if far.Allow() {
		t.Error("allowed without Redis")
	}
}

// TestFaultLimiterBlackhole cancels ctx while Redis does not reply. The call returns at once, and a request
// that is executed later is undone.
func TestFaultLimiterBlackhole(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *semaphore.Limiter) error{
		"Wait":     func(ctx context.Context, l *semaphore.Limiter) error { return l.WaitN(ctx, 1) },
		"WaitChan": func(ctx context.Context, l *semaphore.Limiter) error { return <-l.WaitChan(ctx) },
		"Allow": func(ctx context.Context, l *semaphore.Limiter) error {
			_, err := l.AllowContext(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, far, near := proxied(t, 0.001, 10)
			p.Blackhole(true)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(200*time.Millisecond, cancel)
			start := time.Now()
			err := call(ctx, far)
			if took := time.Since(start) - 200*time.Millisecond; !errors.Is(err, context.Canceled) || took > slack+redistest.Allowance(start) {
				t.Errorf("%v, %v after the end of ctx", err, took)
			}
			p.Blackhole(false)
			if name == "Allow" {
				return // the request has no ID, and may have taken a token
			}
			redistest.Eventually(t, 10*time.Second, func() bool { return p.Requests("evalsha") >= 4 }, "the refund is sent")
			redistest.Eventually(t, 10*time.Second, func() bool {
				ok, err := near.AllowNContext(t.Context(), 9)
				return ok && err == nil
			}, "the token is refunded")
		})
	}
}

// TestFaultLimiterOutage stops Redis for some time. A wait continues after the outage. If ctx is done
// first, the error contains both reasons.
func TestFaultLimiterOutage(t *testing.T) {
	t.Parallel()
	p, far, near := proxied(t, 0.001, 10)
	p.Refuse(true)
	const timeout = time.Second // an attempt fails within it, even on a busy machine
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	err := far.Wait(ctx)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(Redis: ") || took > timeout+slack+redistest.Allowance(start) {
		t.Errorf("%v after %v", err, took)
	}
	c := far.WaitChan(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { p.Refuse(false) })
	if err := <-c; err != nil {
		t.Error(err)
	}
	if n := takeRemaining(t, near); n != 8 {
		t.Errorf("%d tokens are left", n)
	}
}
