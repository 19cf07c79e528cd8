package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A loss is a way to lose one command or its reply.
type loss struct {
	lose  func(*redistest.Proxy)
	count func(redistest.Faults) int64
	wait  time.Duration // how long an impatient client waits before it notices
}

var losses = map[string]loss{
	"RequestCut": {func(p *redistest.Proxy) { p.CutNextRequest("evalsha") }, func(f redistest.Faults) int64 { return f.RequestsCut }, 0}, // row 31
	"ReplyCut":   {func(p *redistest.Proxy) { p.CutNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesCut }, 0},    // row 32
	"ReplyLost":  {func(p *redistest.Proxy) { p.LoseNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesLost }, silence},
}

// expectFence checks that Redis has granted no lock after this one.
func expectFence(t *testing.T, s *redistest.Server, l *mutex.Lease) {
	t.Helper()
	if got := s.Do(t, "GET", "baton:{key}:fence"); got != fmt.Sprint(l.Fence()/lease.FencesPerGrant) {
		t.Errorf("the lease has fence %d, and Redis has %v", l.Fence()/lease.FencesPerGrant, got)
	}
}

// TestFaultLost loses one command of a lock or its reply (rows 31 and 32): of an acquire, a try, a release
// and a renewal.
func TestFaultLost(t *testing.T) {
	each(t, losses, func(t *testing.T, f loss) {
		s, p := proxied(t)
		rdb := p.Client(t, impatient)
		m, other := mutexOf(rdb, 3*time.Second), mutexOf(s.Client(t), time.Second)
		unlock(t, lock(t, other)) // loads the scripts
		step := func(desc string, do func()) {
			t.Helper()
			f.lose(p)
			start := time.Now()
			do()
			checkBound(t, desc, start, f.wait)
		}
		var l *mutex.Lease
		step("to lock", func() { l = lock(t, m) })
		expectFence(t, s, l) // Redis replies to the repeated request with the same grant and fence
		unlock(t, l)

		step("to try", func() {
			if l, err := m.TryLockContext(t.Context()); err == nil { // the request was repeated
				unlock(t, l)
			} else if errors.Is(err, mutex.ErrLocked) {
				t.Errorf("a try without a reply returned %v", err)
			}
		})
		unlock(t, lockWithin(t, "to lock after the try", other, 0))

		l = lock(t, m)
		next := enqueue(t, s, other, 1)
		step("to unlock", func() { unlock(t, l) }) // must not return ErrLost
		unlock(t, grant(t, "the hand-over", next, 0))

		const ttl = 2 * time.Second
		l = lock(t, mutexOf(rdb, ttl))
		f.lose(p)
		expectKept(t, l, ttl+ttl/10)
		unlock(t, l)
		expectFault(t, "the fault took place", f.count(p.Faults()), 4)
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultUnlockSilent loses the reply to a release. The client would wait for it longer than the lease
// lasts (row 32), so another attempt is made.
func TestFaultUnlockSilent(t *testing.T) {
	t.Parallel()
	const ttl = 1200 * time.Millisecond
	s, p := proxied(t)
	unlock(t, lock(t, mutexOf(s.Client(t), ttl))) // loads the scripts
	l := lock(t, mutexOf(p.Client(t), ttl))
	p.LoseNextReply("evalsha")
	start := time.Now()
	unlock(t, l)
	checkBound(t, "to unlock", start, ttl/3)
	expectFault(t, "a reply was lost", p.Faults().RepliesLost, 1)
	expectNothingLeft(t, s, 0)
}

// TestFaultTwice runs each script twice (row 33). The second run changes nothing.
func TestFaultTwice(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var clients []*redis.Client
	for range 3 {
		rdb := s.Client(t)
		rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if err := next(ctx, cmd); err != nil {
				return err
			}
			return next(ctx, cmd.Clone())
		}))
		clients = append(clients, rdb)
	}
	l := lock(t, mutexOf(clients[0], ample))
	expectFence(t, s, l)
	next := enqueue(t, s, mutexOf(clients[1], ample), 1)
	unlock(t, l)
	unlock(t, grant(t, "the hand-over", next, 0))
	c := contendBusily(t, clients...)
	c.more(200, 2*poll)
	c.expectNoLoss()
	expectNothingLeft(t, s, poll)
}
