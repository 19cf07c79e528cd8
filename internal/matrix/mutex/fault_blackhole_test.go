package mutex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// blackholes has ways to drop the traffic between a holder and Redis.
var blackholes = map[string]func(*redistest.Proxy){
	"Both":    func(p *redistest.Proxy) { p.Blackhole(true) },
	"Replies": func(p *redistest.Proxy) { p.BlackholeReplies(true) }, // renewals arrive, but their replies are dropped
}

// TestFaultBlackhole cuts a holder off (rows 35 and 36). Its loss is reported before another process
// gets the lock. Delayed requests that arrive after the fault do not affect the new holder.
func TestFaultBlackhole(t *testing.T) {
	t.Parallel()
	runTogether(t, blackholes, func(t *testing.T, open func(*redistest.Proxy)) {
		const ttl = time.Second
		s, p := kit.StartWithProxy(t)
		rdb := p.Client(t)
		l := lock(t, mutexOf(rdb, ttl))
		another := mutexAt(rdb, "another", ttl)
		k := lock(t, another)
		ctx, stop := k.Context(t.Context())
		defer stop()
		reported := make(chan time.Time, 1)
		context.AfterFunc(ctx, func() { reported <- time.Now() })
		next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
		open(p)
		start := time.Now()
		n := receive(t, "to acquire the lock of the disconnected holder", next, 2*ttl)
		since := time.Now()
		if !errors.Is(l.Err(), mutex.ErrLost) {
			t.Errorf("two processes hold the lock: Err is %v", l.Err())
		}
		kit.ExpectFencesGrow(t, l, n)
		// No method of the other lease was called, so its timer has reported the loss. A busy
		// machine may run the timer late.
		expectLoss(t, k, ctx.Done(), start, ttl)
		if late := (<-reported).Sub(since); late > slack/4+redistest.Allowance(since) {
			t.Errorf("the loss was reported %v after another process had the lock", late)
		} else {
			t.Logf("the loss was reported %v before another process had the lock", -late)
		}
		kit.ExpectFault(t, "no traffic was delayed", p.Faults().Held)
		token := owner(t, s)
		p.Blackhole(false)
		expectKept(t, n, ttl)
		if got := owner(t, s); got != token {
			t.Errorf("the owner was %v and is %v", token, got)
		}
		unlock(t, n)
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultHalfOpen makes the server forget connections that the client still uses (row 36). The
// subscription and the pool detect it by their requests.
func TestFaultHalfOpen(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	s, p := kit.StartWithProxy(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	m := mutexOf(p.Client(t, kit.Impatient), ttl)
	p.LoseNextReply("subscribe") // the connection is silent from then on
	next := enqueue(t, s, m, 1)
	if p.Faults().RepliesLost != 1 {
		t.Error("no reply was lost")
	}
	p.LoseNextReply("evalsha")
	unlock(t, l)
	unlock(t, receive(t, "to find the hand-over", next, poll+silence))
	expectNothingLeft(t, s, poll)
}

// TestFaultBlackholeUnlock unlocks while the traffic is dropped (row 35), on an existing and on a new
// connection. Unlock returns when the lease ends, and the lock is free then.
func TestFaultBlackholeUnlock(t *testing.T) {
	t.Parallel()
	runTogether(t, map[string]bool{"Old": false, "New": true}, func(t *testing.T, fresh bool) {
		const ttl = 900 * time.Millisecond
		s, p := kit.StartWithProxy(t)
		m := mutexOf(s.Client(t), ample)
		for _, wait := range []time.Duration{ttl / 2, 10 * ttl} { // the client's read timeout
			l := lock(t, mutexOf(p.Client(t, func(o *redis.Options) { o.ReadTimeout = wait }), ttl))
			start := time.Now()
			if fresh {
				p.CloseAll()
			}
			p.Blackhole(true)
			if err := l.Unlock(); err == nil || errors.Is(err, mutex.ErrLost) || errors.Is(err, mutex.ErrUnlocked) {
				t.Errorf("Unlock returned %v", err)
			}
			checkBound(t, "Unlock", start, ttl)
			unlock(t, lockWithin(t, "to lock after the failed unlock", m, 0))
			p.Blackhole(false)
		}
		expectNothingLeft(t, s, poll)
	})
}
