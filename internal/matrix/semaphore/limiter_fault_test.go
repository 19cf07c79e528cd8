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

// slack is what a busy machine may add to a bound of milliseconds.
const slack = 300 * time.Millisecond

// proxied returns a limiter through a proxy, and one of the same key beside it.
func proxied(t *testing.T, r semaphore.Limit, burst int) (*redistest.Proxy, *semaphore.Limiter, *semaphore.Limiter) {
	s, p := kit.Proxied(t)
	far := semaphore.NewLimiter(p.Client(t), "key", r, burst)
	near := semaphore.NewLimiter(s.Client(t), "key", r, burst)
	warm := semaphore.NewLimiter(p.Client(t), "warm", r, burst)
	warm.Allow() // the server learns the script
	far.AllowN(1)
	return p, far, near
}

// left counts the tokens that are there, and takes them.
func left(t *testing.T, lim *semaphore.Limiter) (n int) {
	for lim.Allow() {
		n++
	}
	return n
}

// TestFaultLimiterLostReply cuts the answer to a wait: it asks again, and takes once.
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
			if n := left(t, near); n != 8 || p.Faults().RepliesCut != 2 {
				t.Errorf("%d of 10 tokens are left after one and one, with %d replies cut", n, p.Faults().RepliesCut)
			}
		})
	}
}

// TestFaultLimiterAllow has a try fail closed, after one request: not two tokens
// for one event.
func TestFaultLimiterAllow(t *testing.T) {
	t.Parallel()
	p, far, near := proxied(t, 0.001, 10)
	p.CutNextReply("evalsha")
	if ok, err := far.AllowContext(t.Context()); ok || err == nil || !strings.Contains(err.Error(), `allow "key"`) {
		t.Errorf("without an answer: %t, %v", ok, err)
	}
	if n := left(t, near); n != 8 {
		t.Errorf("%d tokens are left", n)
	}
	p.Refuse(true)
	if far.Allow() {
		t.Error("allowed without Redis")
	}
}

// TestFaultLimiterBlackhole ends ctx while Redis does not answer: the call returns
// at once, and what is executed later is undone.
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
				return // it has no id, and may have taken a token
			}
			redistest.Eventually(t, 10*time.Second, func() bool { return p.Requests("evalsha") >= 4 }, "the return is sent")
			redistest.Eventually(t, 10*time.Second, func() bool {
				ok, err := near.AllowNContext(t.Context(), 9)
				return ok && err == nil
			}, "the token is given back")
		})
	}
}

// TestFaultLimiterOutage has Redis away for a while: a wait waits for it, and one
// whose ctx ends names both reasons.
func TestFaultLimiterOutage(t *testing.T) {
	t.Parallel()
	p, far, near := proxied(t, 0.001, 10)
	p.Refuse(true)
	const patience = time.Second // in which some attempt fails, on a busy machine too
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	err := far.Wait(ctx)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(Redis: ") || took > patience+slack+redistest.Allowance(start) {
		t.Errorf("%v after %v", err, took)
	}
	c := far.WaitChan(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { p.Refuse(false) })
	if err := <-c; err != nil {
		t.Error(err)
	}
	if n := left(t, near); n != 8 {
		t.Errorf("%d tokens are left", n)
	}
}
