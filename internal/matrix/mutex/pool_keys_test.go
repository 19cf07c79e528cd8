package mutex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func lockAll(t *testing.T, p *mutex.Pool, keys ...string) *mutex.Lease {
	t.Helper()
	l, err := p.LockContext(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPoolBlackhole ends the ctx while nothing comes through: the call returns
// within milliseconds though it cannot give back what it has.
func TestPoolBlackhole(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	p, other := mutex.NewPool(proxy.Client(t), ""), mutex.NewPool(s.Client(t), "")
	p.TTL, other.TTL = 3*time.Second, ample
	taken := lockAll(t, other, "a") // in the order of slots, b comes first
	ctx, cancel := context.WithCancel(t.Context())
	waits := p.LockChan(ctx, "b", "a") // one of the two will have b and wait for a
	failed := make(chan error, 1)
	go func() {
		_, err := p.LockContext(ctx, "b", "a")
		failed <- err
	}()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{a}:queue") == int64(1) }, "nobody queues")
	proxy.Blackhole(true)
	start := time.Now()
	cancel()
	err, r := <-failed, <-waits
	if !errors.Is(err, context.Canceled) || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %v and %v", err, r)
	}
	bounded(t, "to give up", start, 20*time.Millisecond)
	proxy.Blackhole(false)
	unlock(t, taken)
	rests(t, s, p.TTL+poll)
}
