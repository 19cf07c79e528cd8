package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// CheckRenewal ends a claim whose window has passed, and returns the renewal of a live one. It also
// ends leases that may not be renewed and whose time is over, if others keep the claim alive.
func (c *claim) CheckRenewal(now time.Time) (r Renewal, renew bool) {
	q := c.queue
	q.mu.Lock()
	var todo pendingCall
	switch {
	case c.state != claimActive || c.hold.weight == 0:
	case c.hold.window.Remaining(now) <= 0:
		todo = q.loseClaim(c, trace.RenewFailed)
	default:
		if renew = c.hold.markRenewals(now, c.ttl); !c.hold.nextForcedEnd.IsZero() && !c.hold.nextForcedEnd.After(now) {
			c.hold.loseExpired(now, c.ttl)
			todo = q.advance()
			renew = c.state == claimActive && c.hold.weight > 0 && c.hold.markRenewals(now, c.ttl)
		}
		if c.state == claimActive && c.hold.weight > 0 {
			r = Renewal{Name: q.name, Token: c.token, TTL: c.ttl, Confirm: c.hold.confirmed, Contention: (c.notified || c.contention.signals != nil) && !c.hold.renewFailed}
			r.Value = c.hold.valueMissing != nil && !c.hold.renewFailed
			q.manager.scheduleRenewal(c, now)
		}
	}
	q.mu.Unlock()
	q.runAsync(todo)
	return r, renew
}

// BeginRenewal sets the time of the next attempt, counted from now.
func (c *claim) BeginRenewal(now time.Time) (grantSeq int64, renew bool) {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if c.state != claimActive || c.hold.weight == 0 {
		return 0, false
	}
	c.queue.manager.scheduleRenewal(c, now)
	return c.hold.grantSeq, true
}

// HandleRenewal handles the reply to a renewal of the hold grantSeq, sent at sentAt.
func (c *claim) HandleRenewal(grantSeq int64, of Renewal, r RenewResult, sentAt time.Time) {
	q := c.queue
	q.mu.Lock()
	var todo pendingCall
	switch {
	case c.state != claimActive || c.hold.weight == 0 || c.hold.grantSeq != grantSeq: // released since
	case r.Err != nil: // tried again when next due
		c.hold.renewFailed = true
		c.redisError("renew", r.Err)
	case !r.Held:
		todo = q.loseClaim(c, trace.KeyMissing)
	case c.hold.window.Remaining(time.Now()) <= 0: // see extend
		c.redis.maybeQueued = true
		todo = q.loseClaim(c, trace.RenewFailed)
	default:
		eachTrace(func(t *trace.Tracer) { t.Renewed(sentAt) }, c.hold.leases)
		contended := r.Contended && (r.SeveralWait || !c.redis.maybeQueued)
		c.hold.renewFailed = false
		if contended || q.name.Kind != Mutex { // that of a Mutex may not have asked
			c.contention.note(contended, sentAt)
		}
		if of.Confirm.Replicas >= c.hold.confirmed.Replicas {
			c.extend(client.NewTrustWindow(sentAt, of.TTL)) // that of the claim may be longer by now
		}
		if c.needsShrink() {
			todo = pendingCall{claim: c, shrink: true}
		}
		if r.NoValue && c.hold.valueMissing != nil {
			c.hold.valueMissing()
		}
	}
	q.mu.Unlock()
	q.runAsync(todo)
}
