package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

const (
	// inflightTimeout is how long giving a claim back waits for the request under way.
	inflightTimeout = 100 * time.Millisecond
	// revocationSlack is how long a try waits, besides two round trips, for the revocation of a
	// claim that only lingers: for the goroutines of the process that has it.
	revocationSlack = 2 * time.Millisecond
	// maxBatchWaiters is for how many waiters of a process permits are taken at once.
	maxBatchWaiters = 64
)

// requestLoop sends requests for what the claim wants until that is granted or given up, or
// until it is to wait with the next: a timer then goes on, or what wakes the claim.
// There is one of it at a time for each key, however many wait here.
func (q *keyQueue) requestLoop(c *claim) {
	for q.requestOnce(c) {
	}
}

// requestOnce sends one request for what the claim wants and deals with its answer.
// It reports whether the next one is to be sent at once.
func (q *keyQueue) requestOnce(c *claim) (again bool) {
	q.mu.Lock()
	queued := c.maybeQueued
	r, ctx, sent, ok := q.prepareRequest(c)
	q.mu.Unlock()
	if ok && r.Enqueue && queued {
		defer q.watchPoll(c, r.Seq).Stop()
	}
	return ok && q.sendRequest(ctx, c, r, sent)
}

// requestInline sends the first request of a claim on the goroutine of its caller, which
// would otherwise wait for another goroutine to send it. If there is no answer for
// milliseconds, the caller may have to return: another goroutine then asks again.
func (q *keyQueue) requestInline(ctx context.Context, c *claim) {
	q.mu.Lock()
	r, values, sent, ok := q.prepareRequest(c)
	q.mu.Unlock()
	if !ok {
		return
	}
	r.FailFast = ctx.Done() != nil
	reply, err := q.manager.store.Acquire(ctx, r)
	if err == retry.ErrNoAnswer && q.requestAgain(values, c) {
		return
	}
	if q.requestDone(c, r, reply, err, sent) {
		q.manager.Async(func() { q.requestLoop(c) })
	}
}

// requestAgain has another goroutine ask for what a request got no answer about, unless
// that is known by now. There is always a request under way, so that a release waits.
func (q *keyQueue) requestAgain(ctx context.Context, c *claim) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.state != claimActive || c.wanted == 0 || c.confirming != nil {
		return false
	}
	c.redisError("acquire", retry.ErrNoAnswer)
	c.maybeQueued = true
	r, _, sent, _ := q.prepareRequest(c)
	q.requestReturned(c, r)
	q.manager.Async(func() {
		if q.sendRequest(ctx, c, r, sent) {
			q.requestLoop(c)
		}
	})
	return true
}

// prepareRequest returns the next request of a claim, if it still wants something, and the
// ctx to send it with: that of the caller if only one waits. The queue is locked.
func (q *keyQueue) prepareRequest(c *claim) (r Request, ctx context.Context, sent time.Time, ok bool) {
	if c.state != claimActive || c.wanted == 0 || c.confirming != nil {
		c.loop = loopStopped
		return Request{}, nil, time.Time{}, false
	}
	var value *ValueReader
	if ctx = context.Background(); q.waiters.n == 1 {
		ctx, value = &q.waiters.head.caller, q.waiters.head.caller.valueReader()
	}
	sent = time.Now()
	c.loop = loopSending
	r = q.newRequest(c, sent)
	r.Value = value
	c.currentSeq = r.Seq
	return r, ctx, sent, true
}

// sendRequest sends a request and deals with its answer, as requestOnce.
func (q *keyQueue) sendRequest(ctx context.Context, c *claim, r Request, sent time.Time) (again bool) {
	reply, err := q.manager.store.Acquire(ctx, r)
	return q.requestDone(c, r, reply, err, sent)
}

func (q *keyQueue) requestDone(c *claim, r Request, reply Reply, err error, sent time.Time) (again bool) {
	if err == nil {
		q.manager.observeRTT(time.Since(sent))
	}
	return q.finishRequest(c, r, reply, err, sent)
}

// watchPoll sends another poll, on another connection, if the poll seq gets no reply in
// time: its connection may be dead, and the queue entry must not expire meanwhile. The
// first reply counts.
func (q *keyQueue) watchPoll(c *claim, seq int64) *time.Timer {
	return time.AfterFunc(MaxPollInterval, func() { q.pollAgain(c, seq) })
}

func (q *keyQueue) pollAgain(c *claim, seq int64) {
	q.mu.Lock()
	stuck := c.loop.sending() && c.currentSeq == seq && c.inflight < len(c.recentSends)
	if stuck {
		c.loop, c.currentSeq = loopPaused, 0
	}
	q.mu.Unlock()
	if stuck {
		q.requestLoop(c)
	}
}

// finishRequest deals with the answer to a request of the one that asks. It reports
// whether the next is to be sent at once; if not, and there is to be one, it has
// set the timer for it.
func (q *keyQueue) finishRequest(c *claim, r Request, reply Reply, err error, sentAt time.Time) (again bool) {
	q.mu.Lock()
	var delay time.Duration
	todo := q.handleReply(c, r, reply, err, sentAt)
	switch {
	case c.currentSeq != r.Seq: // a later request has taken its place
		q.mu.Unlock()
		q.runAsync(todo)
		return false
	case c.state != claimActive || c.wanted == 0 || c.confirming != nil:
		c.loop = loopStopped
	case r.WantSeq != c.wantSeq || reply.Lost: // it wants something else by now, or asks in another way
	default:
		delay = q.handleNotGranted(c, r, reply, err, &todo)
	}
	if q.claim == c {
		q.waiters.clearJoinedLate()
	}
	if c.loop.sending() {
		if again = delay <= 0 || c.loop == loopSendingAgain; !again {
			c.scheduleRequest(delay)
		}
		c.loop = loopPaused
	}
	q.mu.Unlock()
	q.runAsync(todo)
	return again
}

// newRequest makes the next request of a claim, which is then under way.
func (q *keyQueue) newRequest(c *claim, now time.Time) Request {
	queues := c.tryUntil != 0 || !q.nextTries() && (c.alwaysQueue || q.manager.Subscribed())
	r := c.nextRequest(c.wanted > 0 && queues, now)
	if c.wanted > 0 && q.name.Kind == Semaphore {
		r.Extra = max(0, q.waiters.weight(maxBatchWaiters)-c.wanted)
	}
	if r.Enqueue {
		q.manager.register(c)
	}
	if r.Want > 0 {
		c.inflight++
	}
	return r
}

// requestReturned notes that a request is not under way any more.
func (q *keyQueue) requestReturned(c *claim, r Request) {
	if r.Want == 0 { // it was not counted
		return
	}
	if c.inflight--; c.inflight == 0 {
		c.proceed()
	}
}

// handleReply deals with the answer to a request, whatever has become of the claim.
func (q *keyQueue) handleReply(c *claim, r Request, reply Reply, err error, sentAt time.Time) pendingCall {
	q.requestReturned(c, r)
	c.redisError("acquire", err)
	w := client.NewTrustWindow(sentAt, r.TTL)
	if c.state != claimActive {
		q.handleLateReply(c, r, reply, err)
		return pendingCall{}
	}
	hopeless := q.noteOutcome(c, err)
	switch {
	case isSizeError(err):
		if r.WantSeq == c.wantSeq && c.wanted > 0 {
			q.failWaiters(err, func(lease *Lease) bool { return lease.size == c.size && lease.weight >= c.wanted })
			c.wanted, c.maybeQueued = 0, false
		}
		return q.advance()
	case retry.IsPanic(err):
		c.maybeQueued = true
		if q.waiters.head != nil { // the others ask for themselves
			q.waiters.head.fail(err)
		}
		return q.advance()
	case retry.IsPermanent(err):
		c.wanted = 0
		if todo := q.advance(); !todo.shrink {
			return todo
		}
		return pendingCall{} // the next renewal tells what is owed: telling it at once would not end
	case err != nil:
		if r.Want == 0 {
			return pendingCall{} // tried again by those who wait for it
		}
		c.maybeQueued = true // or rather, it may have been given it
		if hopeless {
			return q.advance()
		}
		if c.wanted == 0 && c.needsShrink() {
			return pendingCall{claim: c, shrink: true}
		}
		return pendingCall{}
	}
	c.replaces = "" // given up, or gone
	if reply.Lost {
		if c.repliedLost(r, reply) {
			return q.loseClaim(c, trace.KeyMissing)
		}
		return pendingCall{}
	}
	q.applyReply(c, r, reply, w)
	if reply.Granted && c.wanted > 0 && r.WantSeq == c.wantSeq {
		if w.Remaining(time.Now()) > 0 {
			if c.recordPath(r); c.backoff == nil && c.queuedBefore(r) {
				q.manager.Missed()
			}
			return q.receiveGrant(c, grant{fenceBase: reply.FenceBase, weight: reply.Weight, grantedNow: reply.GrantedNow, window: w, contended: reply.Contended})
		}
		q.lastErr = retry.ErrReplyTooLate
	}
	if c.wanted == 0 && c.needsShrink() && r.Seq == c.seq { // else a later one says more
		return pendingCall{claim: c, shrink: true}
	}
	return pendingCall{}
}

// applyReply notes what Redis knows of the claim after it has executed r.
func (q *keyQueue) applyReply(c *claim, r Request, reply Reply, w client.TrustWindow) {
	if r.Seq > c.ackedSeq {
		if c.ackedSeq, c.serverWeight = r.Seq, r.Keep; reply.Granted {
			c.serverWeight, c.maybeQueued = reply.Weight, true
		}
		if r.Want == 0 && r.Seq > c.lastQueued() {
			c.maybeQueued = false
		}
		c.noteContention(reply.Contended, w.Start)
	}
	if c.weight > 0 && c.confirmed.Replicas == 0 && (q.name.Kind == Mutex && reply.Granted || r.Keep > 0 && r.Seq > c.grantSeq) {
		c.extend(w)
	}
}

// nextDelay is how long a claim that still asks waits before it asks again.
func (q *keyQueue) nextDelay(c *claim, r Request, reply Reply, err error) (delay time.Duration) {
	if head := q.waiters.head; head != nil { // those behind it know
		head.tracer.Waiting()
	}
	switch {
	case err != nil || reply.Granted: // or granted too late to be of use: it is renewed by asking again
		return c.retryDelay()
	case !r.Enqueue:
		if c.alwaysQueue = true; q.manager.subscribe(c) || reply.MayLinger { // its end need not be waited for by message
			return 0
		}
		return client.SubscribeTimeout
	case reply.ForeignOwner || !q.manager.Subscribed(): // nobody will tell us
		delay = c.retryDelay()
	default:
		c.backoff = nil
		delay = q.manager.pollInterval()
	}
	if reply.Remaining >= 0 { // a dead owner's hold ends then
		delay = min(delay, reply.Remaining+time.Millisecond)
	}
	return delay
}

// handleNotGranted handles an answer that does not give the claim what it wants. It fails
// the tries that the answer speaks for, and returns how long the claim waits before it
// asks for the leases that stay. If none stay, the claim has asked enough.
func (q *keyQueue) handleNotGranted(c *claim, r Request, reply Reply, err error, todo *pendingCall) (wait time.Duration) {
	no := err == nil && !reply.Granted && r.Seq == c.seq // a later statement may have overtaken r: its answer counts
	head, tried := q.waiters.head, q.nextTries()
	if no && reply.Found && head != nil && head.caller.valueReader() == r.Value {
		c.maybeQueued = c.maybeQueued && !r.Enqueue && c.queuedBefore(r)
		head.fail(ErrValueFound)
		head = q.waiters.head
	}
	c.headMustWait = no && head != nil && !head.try && !head.joinedLate
	if no && head != nil && head.try && (c.tryUntil != 0 || reply.MayLinger) {
		if wait = q.awaitLingering(c); wait >= 0 {
			return wait
		}
	}
	c.tryUntil = 0
	for lease := head; lease != nil && q.waiters.tries > 0; {
		next := lease.next
		switch {
		case !lease.try || retry.IsPanic(err): // which its own caller has got
		case err != nil:
			lease.fail(err)
		case reply.Granted:
			lease.fail(retry.ErrReplyTooLate)
		case c.headMustWait || no && !lease.joinedLate && lease.weight >= c.wanted && lease.size == c.size:
			lease.fail(ErrLocked)
		}
		lease = next
	}
	if head = q.waiters.head; head == nil {
		c.wanted, c.loop = 0, loopStopped
		*todo = q.advance()
		return 0
	}
	if q.waiters.tries == 0 && (!tried || q.name.Kind == Mutex) {
		return q.nextDelay(c, r, reply, err)
	}
	if !c.wants(head) {
		c.setWant(head)
	}
	return 0
}

// awaitLingering returns how long a try waits before it asks again, because of a claim that may
// only linger: the try queues at once, which revokes such a claim, and asks once more when that
// had time. It is negative if the try must fail.
func (q *keyQueue) awaitLingering(c *claim) time.Duration {
	now := time.Now()
	if c.tryUntil == 0 {
		c.tryUntil = monoTimeOf(now.Add(2*time.Duration(q.manager.rtt.Load()) + revocationSlack))
		return 0
	}
	return -c.tryUntil.elapsed(now)
}
