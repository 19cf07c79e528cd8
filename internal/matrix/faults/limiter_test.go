package faults

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestFaultLimiterLost loses replies to a limiter (row 32), and then the server (row 44). A wait is repeated,
// takes one token, and continues after the outage. A try is not repeated, and does not allow the event. If
// ctx is done during an outage, the error contains both reasons.
func TestFaultLimiterLost(t *testing.T) {
	t.Parallel()
	s, p := proxied(t)
	far, near := semaphore.NewLimiter(p.Client(t), "key", 0.001, 10), semaphore.NewLimiter(s.Client(t), "key", 0.001, 10)
	check(t, near.Wait(t.Context())) // loads the script
	p.CutNextReply("evalsha")
	check(t, far.Wait(t.Context()))
	p.CutNextReply("evalsha")
	check(t, <-far.WaitChan(t.Context()))
	p.CutNextReply("evalsha")
	if ok, err := far.AllowContext(t.Context()); ok || err == nil || !strings.Contains(err.Error(), `allow "key"`) {
		t.Errorf("without a reply: %t, %v", ok, err)
	}
	expectFault(t, "replies were cut", p.Faults().RepliesCut, 3)

	p.Refuse(true)
	if far.Allow() {
		t.Error("allowed without Redis")
	}
	const timeout = time.Second // an attempt fails within it, even on a busy machine
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	err := far.Wait(ctx)
	checkBound(t, "a wait in an outage", start, timeout)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(Redis: ") {
		t.Errorf("the error is %v", err)
	}
	time.AfterFunc(300*time.Millisecond, func() { p.Refuse(false) })
	check(t, far.Wait(t.Context()))
	left := 0
	for near.Allow() {
		left++
	}
	if left != 5 { // four waits and a try without a reply took one each
		t.Errorf("%d of 10 tokens are left, want 5", left)
	}
}
