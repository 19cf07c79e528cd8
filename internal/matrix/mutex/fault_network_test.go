package mutex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultLatency slows the network down (row 37). Calls are slower, and nothing else changes.
func TestFaultLatency(t *testing.T) {
	t.Parallel()
	type times struct{ rtt, ttl time.Duration }
	runTogether(t, map[string]times{
		"Low":  {50 * time.Millisecond, time.Second},
		"High": {300 * time.Millisecond, 2 * time.Second},
	}, func(t *testing.T, with times) {
		rtt, ttl := with.rtt, with.ttl
		s, p := kit.StartWithProxy(t)
		a, b := mutexOf(p.Client(t), ttl), mutexOf(p.Client(t), ttl)
		warm(t, s)
		unlock(t, lock(t, a)) // opens connections
		unlock(t, lock(t, b))
		p.SetDelay(rtt / 2)
		l := lockWithin(t, "to lock", a, rtt)
		next := enqueue(t, s, b, 1)
		expectKept(t, l, ttl)
		unlock(t, l)
		unlock(t, receive(t, "the hand-over", next, rtt))
		kit.ExpectFault(t, "no traffic was delayed", p.Faults().Delayed)
		expectNothingLeft(t, s, 2*rtt)
	})
}

// TestFaultLatencyAboveTTL uses round trips longer than the TTL (row 37). An expired lock is never granted.
func TestFaultLatencyAboveTTL(t *testing.T) {
	t.Parallel()
	const ttl = 100 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	rdb := p.Client(t)
	m, patient := mutexOf(rdb, ttl), mutexOf(rdb, ample)
	unlock(t, lock(t, patient)) // opens connections and loads the scripts
	p.SetDelay(ttl)
	ctx, cancel := context.WithTimeout(t.Context(), 10*ttl)
	defer cancel()
	if l, err := m.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", l, err)
	}
	p.SetDelay(0)
	expectNothingLeft(t, s, poll)
	unlock(t, lockWithin(t, "to lock on a fast network", patient, poll))
}

// TestFaultCrowd injects network faults while three processes contend (rows 38 to 41). Only time is lost.
func TestFaultCrowd(t *testing.T) {
	t.Parallel()
	runTogether(t, map[string]func(*testing.T, *redistest.Server, *redistest.Proxy, *contenders){
		"Sliced": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 38
			p.Slice(true)
			redistest.Eventually(t, 5*poll, func() bool { return p.Faults().Sliced > 50 }, "requests are sliced")
			p.Slice(false)
		},
		"ClientKill": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // rows 39 and 40
			for i, n := 0, int64(0); i < 10 || n < 20; i++ {
				n += s.Do(t, "CLIENT", "KILL", "TYPE", "normal").(int64)
				n += s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub").(int64)
				c.more(5, poll)
			}
		},
		"Reset": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 39
			for range 10 {
				p.CloseAll()
				c.more(5, poll)
			}
			kit.ExpectFault(t, "no connection was closed", p.Faults().Closed)
		},
		"MessagesLost": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 41
			p.DropMessages(3)
			redistest.Eventually(t, 5*poll, func() bool { return p.Faults().MessagesDropped == 3 }, "three messages are dropped")
		},
		"MessagesTwice": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 41
			p.DuplicateMessages(true)
			redistest.Eventually(t, 5*poll, func() bool { return p.Faults().MessagesDuplicated > 50 }, "messages are duplicated")
			p.DuplicateMessages(false)
		},
		"MessagesLate": func(t *testing.T, s *redistest.Server, p *redistest.Proxy, c *contenders) { // row 41
			p.DelayMessages(100 * time.Millisecond)
			redistest.Eventually(t, 5*poll, func() bool { return p.Faults().MessagesDelayed > 5 }, "messages are late")
			p.DelayMessages(0)
		},
	}, func(t *testing.T, fault func(*testing.T, *redistest.Server, *redistest.Proxy, *contenders)) {
		s, p := kit.StartWithProxy(t)
		c := contend(t, ample, p.Client(t), p.Client(t), p.Client(t))
		c.more(20, poll)
		fault(t, s, p, c)
		c.more(50, 2*poll)
		c.end()
		if c.lost > 0 {
			t.Errorf("%d of %d holds were lost", c.lost, c.holds)
		}
		expectNothingLeft(t, s, poll)
	})
}
