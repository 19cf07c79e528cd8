package lease

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// TestCanServe lists the reasons why a claim cannot serve the next lease of its process.
func TestCanServe(t *testing.T) {
	now := time.Now()
	held := func() *claim {
		return &claim{queue: &keyQueue{name: Name{Kind: Mutex}}, ttl: time.Second, hold: hold{weight: 1, slice: timeSlice{monoTimeOf(now), MinSlice, 2 * MinSlice, 1}, window: client.NewTrustWindow(now, time.Second)}}
	}
	for name, c := range map[string]struct {
		change func(*claim, *Lease)
		want   bool
	}{
		"no reason":              {func(*claim, *Lease) {}, true},
		"in use":                 {func(c *claim, _ *Lease) { c.hold.used = 1 }, false},
		"too small":              {func(_ *claim, l *Lease) { l.weight = 2 }, false},
		"a longer TTL":           {func(_ *claim, l *Lease) { l.ttl++ }, false},
		"a shorter TTL":          {func(_ *claim, l *Lease) { l.ttl-- }, false},
		"RWMutex":                {func(c *claim, l *Lease) { c.queue.name.Kind, l.ttl = RWMutex, l.ttl-1 }, true},
		"no fence left":          {func(c *claim, _ *Lease) { c.hold.fencesUsed = FencesPerGrant }, false},
		"slice over":             {func(c *claim, _ *Lease) { c.hold.slice.start, c.hold.fencesUsed = monoTimeOf(now.Add(-MinSlice)), 1 }, false},
		"slice over, but unused": {func(c *claim, _ *Lease) { c.hold.slice.start = monoTimeOf(now.Add(-MinSlice)) }, true},
		"window over":            {func(c *claim, _ *Lease) { c.hold.window = client.NewTrustWindow(now.Add(-time.Second), time.Second) }, false},
		"first, window almost over": {func(c *claim, _ *Lease) {
			c.hold.window = client.NewTrustWindow(now.Add(-700*time.Millisecond), time.Second)
		}, true},
		"next, window almost over": {func(c *claim, _ *Lease) {
			c.hold.fencesUsed, c.hold.slice.waiters, c.hold.window = 1, 2, client.NewTrustWindow(now.Add(-700*time.Millisecond), time.Second)
		}, false},
	} {
		claim, lease := held(), &Lease{ttl: time.Second, weight: 1}
		c.change(claim, lease)
		equal(t, name, claim.canServe(lease, now), c.want)
	}
}

// TestEndedWindowIsNotExtended delivers a reply to a process that was stopped until after its window,
// before its timer fires. In between, Redis may have granted the lock to another process, and then
// to the same token again by a late request. So the hold must not go on.
func TestEndedWindowIsNotExtended(t *testing.T) {
	m := NewManager(newFakeStore(newFakeRedis()))
	now := time.Now()
	sent := now.Add(-time.Second)
	for name, deliver := range map[string]func(*claim){
		"to a renewal": func(c *claim) { c.HandleRenewal(0, Renewal{TTL: c.ttl}, RenewResult{Held: true}, sent) },
		"to a request before the hand-over": func(c *claim) {
			c.requests.inflight++
			c.queue.handleReply(c, Request{Token: c.token, TTL: c.ttl, Seq: 1}, Reply{Granted: true, Weight: 1}, nil, sent)
		},
	} {
		for passed, want := range map[time.Duration]error{8 * time.Second: nil, 10 * time.Second: ErrLost} {
			q := m.queueFor(Name{Kind: Mutex, Key: name})
			l := &Lease{queue: q, ttl: 10 * time.Second, weight: 1}
			l.self = l
			c := newClaim(q, l, false)
			q.claim, c.hold.weight, c.want.weight, c.hold.window = c, 1, 0, client.NewTrustWindow(now.Add(-passed), c.ttl)
			c.assign(l, now)
			deliver(c)
			if err := l.Err(); !errors.Is(err, want) {
				t.Errorf("reply %s, %v after the window of %v began: %v, want %v", name, passed, c.ttl, err, want)
			}
			_ = l.Release()
		}
	}
}
