package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// revocationSlack is how long a try waits for the revocation of a claim that only lingers, in
// addition to two round trips: the goroutines of that claim's process need some time.
const revocationSlack = 2 * time.Millisecond

// finishRequest handles the reply to a request of requestLoop or requestInline. It reports whether the
// next request must be sent at once. Otherwise it has set the timer for the next request, if one
// follows.
func (q *keyQueue) finishRequest(c *claim, r Request, reply Reply, err error, sentAt time.Time) (again bool) {
	if err == nil { // what two goroutines note at the same time may count as one
		old := q.manager.rtt.Load()
		q.manager.rtt.Store(old + (int64(time.Since(sentAt))-old)/8)
	}
	q.mu.Lock()
	var delay time.Duration
	todo := q.handleReply(c, r, reply, err, sentAt)
	switch {
	case c.requests.currentSeq != r.Seq: // a later request has taken its place
		q.mu.Unlock()
		q.runAsync(todo)
		return false
	case !c.asks():
		c.requests.loop = loopStopped
	case r.WantSeq != c.want.seq || reply.Lost: // the claim wants something else by now, or asks in another way
	default:
		delay = q.handleNotGranted(c, r, reply, err, &todo)
	}
	if q.claim == c {
		q.waiters.clearJoinedLate()
	}
	if c.requests.loop.sending() {
		if again = delay <= 0 || c.requests.loop == loopSendingAgain; !again {
			c.scheduleRequest(delay)
		}
		c.requests.loop = loopPending
	}
	q.mu.Unlock()
	q.runAsync(todo)
	return again
}

// handleReply handles the reply to a request, whatever the state of the claim.
func (q *keyQueue) handleReply(c *claim, r Request, reply Reply, err error, sentAt time.Time) pendingCall {
	q.requestReturned(c, r)
	c.redisError("acquire", err)
	w := client.NewTrustWindow(sentAt, r.TTL)
	if c.state != claimActive {
		q.handleLateReply(c, r, reply, err)
		return pendingCall{}
	}
	final := q.noteOutcome(c, err)
	switch {
	case isSizeError(err): // Redis has executed the rest
		if r.Seq > c.redis.ackedSeq {
			c.redis.ackedSeq, c.redis.weight = r.Seq, r.Keep
		}
		if r.WantSeq == c.want.seq && c.want.weight > 0 {
			q.failWaiters(err, func(lease *Lease) bool { return lease.size == c.want.size && lease.weight >= c.want.weight })
			c.want.weight, c.redis.maybeQueued = 0, false
		}
		return q.advance()
	case retry.IsPanic(err):
		c.redis.maybeQueued = true
		if q.waiters.head != nil { // the others send requests of their own
			q.waiters.head.fail(err)
		}
		return q.advance()
	case retry.IsPermanent(err):
		c.want.weight = 0
		if todo := q.advance(); !todo.shrink {
			return todo
		}
		return pendingCall{} // the next renewal reports what the claim has given up: to repeat that at once would not end
	case err != nil:
		if r.Want == 0 {
			return pendingCall{} // repeated by the caller of shrink
		}
		c.redis.maybeQueued = true // or the request may have been granted
		if final {
			return q.advance()
		}
		if c.want.weight == 0 && c.needsShrink() {
			return pendingCall{claim: c, shrink: true}
		}
		return pendingCall{}
	}
	c.redis.replaces = "" // the replaced token is gone: released or lost
	if reply.Lost {
		if c.repliedLost(r, reply) {
			return q.loseClaim(c, trace.KeyMissing)
		}
		return pendingCall{}
	}
	q.applyReply(c, r, reply, w)
	if reply.Granted && c.want.weight > 0 && r.WantSeq == c.want.seq {
		if w.Remaining(time.Now()) > 0 {
			if c.requests.backoff == nil && c.requests.queuedBefore(r) {
				q.manager.Missed()
			}
			return q.receiveGrant(c, grant{
				fenceBase: reply.FenceBase, weight: reply.Weight, grantedNow: reply.GrantedNow,
				window: w, contended: reply.Contended, path: replyPath(r),
			})
		}
		q.lastErr = retry.ErrReplyTooLate
	}
	if c.want.weight == 0 && c.needsShrink() && r.Seq == c.requests.seq { // else a later request states more
		return pendingCall{claim: c, shrink: true}
	}
	return pendingCall{}
}

// applyReply notes what Redis knows of the claim after it has executed r.
func (q *keyQueue) applyReply(c *claim, r Request, reply Reply, w client.TrustWindow) {
	if r.Seq > c.redis.ackedSeq {
		c.redis.ackedSeq, c.redis.weight = r.Seq, r.Keep
		if reply.Granted {
			c.redis.weight, c.redis.maybeQueued = reply.Weight, true
		}
		if r.Want == 0 && r.Seq > c.requests.lastQueued() {
			c.redis.maybeQueued = false
		}
		c.contention.note(reply.Contended, w.Start)
	}
	if c.hold.weight > 0 && c.hold.confirmed.Replicas == 0 && (q.name.Kind == Mutex && reply.Granted || r.Keep > 0 && r.Seq > c.hold.grantSeq) {
		c.extend(w)
	}
}

// handleNotGranted handles a reply that does not give the claim what it wants. It fails the tries to
// which the reply applies, and returns how long the claim waits before it asks for the remaining
// leases. If none remain, the claim stops asking.
func (q *keyQueue) handleNotGranted(c *claim, r Request, reply Reply, err error, todo *pendingCall) (wait time.Duration) {
	no := err == nil && !reply.Granted && r.Seq == c.requests.seq // a later request may have overtaken r: then its reply counts
	head, tried := q.waiters.head, q.nextTries()
	if no && reply.Found && head != nil && head.caller.valueReader() == r.Value {
		c.redis.maybeQueued = c.redis.maybeQueued && !r.Enqueue && c.requests.queuedBefore(r)
		head.fail(ErrValueFound)
		head = q.waiters.head
	}
	c.want.headMustWait = no && head != nil && !head.try && !head.joinedLate
	if no && head != nil && head.try && (c.want.tryUntil != 0 || reply.MayLinger) {
		if wait = q.awaitLingering(c); wait >= 0 {
			return wait
		}
	}
	c.want.tryUntil = 0
	for lease := head; lease != nil && q.waiters.tries > 0; {
		next := lease.next
		switch {
		case !lease.try || retry.IsPanic(err): // its own caller has got the panic
		case err != nil:
			lease.fail(err)
		case reply.Granted:
			lease.fail(retry.ErrReplyTooLate)
		case c.want.headMustWait || no && !lease.joinedLate && lease.weight >= c.want.weight && lease.size == c.want.size:
			lease.fail(ErrLocked)
		}
		lease = next
	}
	if head = q.waiters.head; head == nil {
		c.want.weight, c.requests.loop = 0, loopStopped
		*todo = q.advance()
		return 0
	}
	if q.waiters.tries == 0 && (!tried || q.name.Kind == Mutex) {
		return q.nextDelay(c, r, reply, err)
	}
	if !c.want.isFor(head) {
		c.setWant(head)
	}
	return 0
}

// nextDelay returns how long a claim that still asks waits before its next request.
func (q *keyQueue) nextDelay(c *claim, r Request, reply Reply, err error) (delay time.Duration) {
	if head := q.waiters.head; head != nil { // the tracers of those behind it have had the event
		head.tracer.Waiting()
	}
	switch {
	case err != nil || reply.Granted: // or granted too late: the next request extends the hold
		return c.requests.retryDelay()
	case !r.Enqueue:
		c.want.alwaysQueue = true
		if q.manager.subscribe(c) || reply.MayLinger { // the claim that lingers ends without a message to us
			return 0
		}
		return client.SubscribeTimeout
	case reply.ForeignOwner || !q.manager.Subscribed(): // no message will come
		delay = c.requests.retryDelay()
	default:
		c.requests.backoff = nil
		delay = q.manager.pollInterval()
	}
	if reply.Remaining >= 0 { // a dead owner's hold ends then
		delay = min(delay, reply.Remaining+time.Millisecond)
	}
	return delay
}

// awaitLingering returns how long a try waits before it asks again, because of a claim that may
// only linger: the try queues at once, which revokes such a claim, and asks once more when that
// had time. It is negative if the try must fail.
func (q *keyQueue) awaitLingering(c *claim) time.Duration {
	now := time.Now()
	if c.want.tryUntil == 0 {
		c.want.tryUntil = monoTimeOf(now.Add(2*time.Duration(q.manager.rtt.Load()) + revocationSlack))
		return 0
	}
	return -c.want.tryUntil.elapsed(now)
}

// A grant is what Redis has given a claim.
type grant struct {
	fenceBase, weight, grantedNow int64
	window                        client.TrustWindow
	contended                     bool
	path                          string
}

// receiveGrant accepts a grant, after replicas have confirmed it if the claim needs that. A failover
// can forget a grant that no replica has. The confirmation also covers a grant that another process's
// release has made: replicas receive all writes in order, so a replica that has the renewal has the
// grant.
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

// acceptGrant makes what Redis has granted the hold of the claim.
func (q *keyQueue) acceptGrant(c *claim, g grant) pendingCall {
	h := &c.hold
	now := time.Now()
	if g.weight < h.weight+g.grantedNow || h.weight > 0 && h.window.Remaining(now) <= 0 {
		c.redis.maybeQueued = true
		return q.loseClaim(c, trace.KeyMissing) // what it held is lost, and what Redis has now is too little
	}
	c.redis.weight = g.weight
	if h.weight == 0 {
		h.window, h.grantSeq = g.window, c.requests.seq
	} else if g.window.Remaining(now) > h.window.Remaining(now) {
		h.window = g.window
	}
	h.weight += g.grantedNow
	c.redis.ackedSeq = c.requests.seq // replies to requests under way may be older than this grant
	c.want.weight, c.redis.maybeQueued, c.redis.replaces = 0, false, ""
	h.shared = c.want.shared
	c.contention.note(g.contended, g.window.Start)
	h.path, h.fenceBase, h.fencesUsed, h.slice = g.path, g.fenceBase, 0, q.manager.newTimeSlice(c.ttl, q.waiters.n, now)
	q.manager.scheduleRenewal(c, now)
	return q.advanceAt(now)
}
