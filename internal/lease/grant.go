package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A grant is what Redis has given a claim.
type grant struct {
	fenceBase, weight, grantedNow int64
	window                        client.TrustWindow
	contended                     bool
	path                          string
}

// receiveGrant accepts a grant, or has replicas confirm it before. A failover can forget a grant
// that no replica has. It covers a grant that another process's release made: replicas receive
// all writes in their order, so one that has the renewal has the grant.
func (q *keyQueue) receiveGrant(c *claim, g grant) pendingCall {
	switch {
	case c.want.confirm.Replicas == 0:
		c.hold.confirmed = c.want.confirm
		return q.acceptGrant(c, g)
	case c.want.confirming == nil:
		pending := &unconfirmedGrant{grant: g} // g itself does not escape
		c.want.confirming = pending
		of := Renewal{Name: q.name, Token: c.token, TTL: c.ttl, Confirm: c.want.confirm}
		q.manager.Async(func() { q.confirm(c, pending, of) })
	}
	return pendingCall{}
}

// acceptGrant begins the use of what Redis has given the claim.
func (q *keyQueue) acceptGrant(c *claim, g grant) pendingCall {
	h := &c.hold
	now := time.Now()
	if g.weight < h.weight+g.grantedNow || h.weight > 0 && h.window.Remaining(now) <= 0 {
		c.redis.maybeQueued = true
		return q.loseClaim(c, trace.KeyMissing) // what it held is not there, and what is there is no use
	}
	if c.redis.weight = g.weight; h.weight == 0 {
		h.window, h.grantSeq = g.window, c.requests.seq
	} else if g.window.Remaining(now) > h.window.Remaining(now) {
		h.window = g.window
	}
	h.weight += g.grantedNow
	c.redis.ackedSeq = c.requests.seq // replies to what is under way may be older than this
	c.want.weight, c.redis.maybeQueued, c.redis.replaces = 0, false, ""
	h.shared = c.want.shared
	c.contention.note(g.contended, g.window.Start)
	h.path, h.fenceBase, h.fencesUsed, h.slice = g.path, g.fenceBase, 0, q.manager.newTimeSlice(c.ttl, q.waiters.n, now)
	q.manager.scheduleRenewal(c, now)
	return q.advanceAt(now)
}

// handleHandover is a hand-over's message. It is believed if there is enough left of its
// window, and otherwise makes the claim ask. Or it is a contention notice.
func (q *keyQueue) handleHandover(c *claim, msg Handover) {
	q.mu.Lock()
	var todo pendingCall
	switch {
	case msg.Seq == 0:
		c.contention.noteNotice(time.Now())
		c.wake()
		todo = q.endIdle(c)
	case c.state == claimActive && c.want.weight > 0 && msg.WantSeq == c.want.seq:
		if w := c.handoverWindow(msg.Seq); w.Usable(time.Now()) {
			todo = q.receiveGrant(c, grant{msg.FenceBase, msg.Weight, c.want.weight, w, msg.Contended, trace.Notified})
		}
		c.wake()
	}
	q.mu.Unlock()
	q.runAsync(todo)
}
