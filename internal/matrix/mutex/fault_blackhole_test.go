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

// holes are black holes between a holder and Redis.
var holes = map[string]func(*redistest.Proxy){
	"Both":    func(p *redistest.Proxy) { p.Blackhole(true) },
	"Replies": func(p *redistest.Proxy) { p.BlackholeReplies(true) }, // renewals arrive, and nobody knows
}

// TestFaultBlackhole cuts a holder off (rows 35 and 36): it is told before
// another holds the lock. When the network is back, what was held up does the
// other no harm.
func TestFaultBlackhole(t *testing.T) {
	t.Parallel()
	together(t, holes, func(t *testing.T, open func(*redistest.Proxy)) {
		const ttl = time.Second
		s, p := kit.Proxied(t)
		rdb := p.Client(t)
		l := lock(t, mutexOf(rdb, ttl))
		another := mutexAt(rdb, "another", ttl)
		k := lock(t, another)
		ctx, stop := k.Context(t.Context())
		defer stop()
		told := make(chan time.Time, 1)
		context.AfterFunc(ctx, func() { told <- time.Now() })
		next := queued(t, s, mutexOf(s.Client(t), ample), 1)
		open(p)
		start := time.Now()
		n := receive(t, "to get what another was cut off from", next, 2*ttl)
		since := time.Now()
		if !errors.Is(l.Err(), mutex.ErrLost) {
			t.Errorf("two hold the lock: Err is %v", l.Err())
		}
		kit.Follows(t, l, n)
		// No method was called of the lease that shares its fate, so this was its
		// timer. A busy machine may be slow to run who waits for it.
		loses(t, k, ctx.Done(), start, ttl)
		if late := (<-told).Sub(since); late > slack/4+redistest.Allowance(since) {
			t.Errorf("was told %v after another had the lock", late)
		} else {
			t.Logf("was told %v before another had the lock", -late)
		}
		kit.Fired(t, "nothing was held up", p.Faults().Held)
		token := owner(t, s)
		p.Blackhole(false)
		keeps(t, n, ttl)
		if got := owner(t, s); got != token {
			t.Errorf("the owner was %v and is %v", token, got)
		}
		unlock(t, n)
		rests(t, s, 0)
	})
}

// TestFaultHalfOpen has the server forget connections whose clients believe in
// them (row 36): subscriber and pool find out by asking.
func TestFaultHalfOpen(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	s, p := kit.Proxied(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	m := mutexOf(p.Client(t, kit.Impatient), ttl)
	p.LoseNextReply("subscribe") // whose connection is silent from there on
	next := queued(t, s, m, 1)
	if p.Faults().RepliesLost != 1 {
		t.Error("no reply was lost")
	}
	p.LoseNextReply("evalsha")
	unlock(t, l)
	unlock(t, receive(t, "to find the hand-over", next, poll+silence))
	rests(t, s, poll)
}

// TestFaultBlackholeUnlock unlocks while nothing comes through (row 35), on a
// connection that was there before and on one that is yet to be made. That takes
// as long as the lease would have lasted, and then the lock is free.
func TestFaultBlackholeUnlock(t *testing.T) {
	t.Parallel()
	together(t, map[string]bool{"Old": false, "New": true}, func(t *testing.T, fresh bool) {
		const ttl = 900 * time.Millisecond
		s, p := kit.Proxied(t)
		m := mutexOf(s.Client(t), ample)
		for _, wait := range []time.Duration{ttl / 2, 10 * ttl} { // of the client, for an answer
			l := lock(t, mutexOf(p.Client(t, func(o *redis.Options) { o.ReadTimeout = wait }), ttl))
			start := time.Now()
			if fresh {
				p.CloseAll()
			}
			p.Blackhole(true)
			if err := l.Unlock(); err == nil || errors.Is(err, mutex.ErrLost) || errors.Is(err, mutex.ErrUnlocked) {
				t.Errorf("Unlock returned %v", err)
			}
			bounded(t, "Unlock", start, ttl)
			unlock(t, lockWithin(t, "to lock after it", m, 0))
			p.Blackhole(false)
		}
		rests(t, s, poll)
	})
}
