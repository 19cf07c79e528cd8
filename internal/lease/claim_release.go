package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// inflightTimeout is how long giving a claim back waits for the requests under way.
const inflightTimeout = 100 * time.Millisecond

// shrink reports to Redis that permits are used no more. It returns when Redis has confirmed that, or
// it no longer matters.
func (q *keyQueue) shrink(c *claim) error {
	q.mu.Lock()
	now := time.Now()
	until, caller := now.Add(c.hold.window.Remaining(now)), &c.last.caller
	q.mu.Unlock()
	defer q.afterShrink(c)
	return q.manager.retryUntil(caller, until, func(ctx context.Context) (owned bool, err error) {
		q.mu.Lock()
		if c.state != claimActive || !c.needsShrink() {
			q.mu.Unlock()
			return true, nil
		}
		now := time.Now()
		r := q.newRequest(c, now)
		q.mu.Unlock()

		reply, err := q.manager.store.Acquire(ctx, r)

		q.mu.Lock()
		lost := c.repliedLost(r, reply)
		todo := q.handleReply(c, r, reply, err, now)
		q.mu.Unlock()
		if isSizeError(err) { // Redis refuses what a lease here wants in addition, and executes the rest
			err = nil
		}
		if err == nil || !todo.shrink { // else this is repeated
			q.runAsync(todo)
		}
		return !lost, err
	}, nil)
}

// beginRelease begins to give back the claim of the queue.
func (q *keyQueue) beginRelease() *claim {
	c := q.claim
	c.leave(claimDraining)
	q.manager.Unschedule(c)
	return c
}

// finishRelease gives a claim back in Redis, with the value that its last lease leaves. It returns
// when that is confirmed, or no longer matters because the claim has run out by itself. Its result is
// nil, ErrLost, or the reason why the release could not be confirmed.
func (q *keyQueue) finishRelease(c *claim, last *lastWrite) error {
	q.mu.Lock()
	now := time.Now()
	until := now.Add(c.hold.window.Remaining(now))
	if c.want.weight > 0 || c.redis.maybeQueued || c.redis.replaces != "" {
		until = now.Add(c.maxLifetime())
	}
	if c.requests.inflight > 0 { // the release could overtake a request, which would then get the lock again
		c.awaitProceed(inflightTimeout)
	}
	c.state = claimReleasing
	replaced := c.redis.replaces
	q.mu.Unlock()

	if replaced != "" {
		_ = q.releaseToken(c, replaced, until, nil)
	}
	err := q.releaseToken(c, c.token, until, last)

	q.mu.Lock()
	if c.releaseAgain || retry.IsPanic(err) {
		go q.manager.releaseStale(c)
	}
	q.failUnconfirmed(c)
	q.closeClaim(c)
	if c.hold.fencesUsed > 0 && c.last.linger() != 0 {
		c.noteUnlock(time.Now())
	}
	todo := q.advance()
	q.mu.Unlock()
	q.runAsync(todo)
	return err
}

// releaseToken releases a token of a releasing claim, until the token has run out by itself. The
// leases behind it need the same of Redis: an error that is final for them ends their wait.
func (q *keyQueue) releaseToken(c *claim, token string, until time.Time, last *lastWrite) error {
	return q.manager.retryUntil(&c.last.caller, until, func(ctx context.Context) (bool, error) {
		owned, err := q.sendRelease(ctx, token, last)
		c.last.tracer.RedisError("release", err)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.noteOutcome(c, err)
		return owned, err
	}, c.pauseRelease)
}

// sendRelease sends one release of a token.
func (q *keyQueue) sendRelease(ctx context.Context, token string, last *lastWrite) (owned bool, err error) {
	if last == nil {
		return q.manager.store.Release(ctx, q.name, token)
	}
	outcome, owned, err := last.store.ReleaseValue(ctx, last.write)
	if err == nil {
		q.mu.Lock()
		last.outcome = outcome
		q.mu.Unlock()
	}
	return owned, err
}

// pauseRelease waits before a failed release is repeated. A try waits for one attempt, as it does for
// a request of its own: the tries in the queue fail, and the next one ends the pause.
func (c *claim) pauseRelease(pause time.Duration, err error) {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	c.queue.failTries(err)
	c.awaitProceed(pause)
}

// awaitProceed waits for proceed, at most for the given time. The queue is locked before and after.
func (c *claim) awaitProceed(most time.Duration) {
	called := make(chan struct{})
	c.proceedNow = called
	c.queue.mu.Unlock()
	timer := time.NewTimer(most)
	select {
	case <-called:
	case <-timer.C:
	}
	timer.Stop()
	c.queue.mu.Lock()
	c.proceedNow = nil
}

// proceed ends awaitProceed.
func (c *claim) proceed() {
	if c.proceedNow != nil {
		close(c.proceedNow)
		c.proceedNow = nil
	}
}

// handleLateReply handles a reply to a claim that is no longer active. Redis may have executed the
// request after the one that ended the claim.
func (q *keyQueue) handleLateReply(c *claim, r Request, reply Reply, err error) {
	switch {
	case c.state == claimDraining || r.Want == 0 || reply.Lost || err == nil && !reply.Granted && !r.Enqueue:
	case c.state == claimReleasing: // a second release now would steal the answer to the first
		c.releaseAgain = true
	default:
		go q.manager.releaseStale(c)
	}
}

// releaseStale releases what a request of the claim may have left in Redis after the claim's end.
func (m *Manager) releaseStale(c *claim) {
	_ = m.releaseToken(&c.last.caller, c.queue.name, c.token, time.Now().Add(c.maxLifetime()), c.last.tracer, nil)
}

// releaseToken releases a token, with retries until it is confirmed or until passes,
// when the token has run out by itself.
func (m *Manager) releaseToken(ctx context.Context, name Name, token string, until time.Time, t *trace.Tracer, sleep func(time.Duration, error)) error {
	return m.retryUntil(ctx, until, func(ctx context.Context) (bool, error) {
		owned, err := m.store.Release(ctx, name, token)
		t.RedisError("release", err)
		return owned, err
	}, sleep)
}

// retryUntil is RetryUntil. It returns ErrLost if there was nothing to give back.
func (m *Manager) retryUntil(ctx context.Context, until time.Time, attempt func(context.Context) (owned bool, err error), sleep func(time.Duration, error)) error {
	owned, err := m.RetryUntil(ctx, until, attempt, sleep)
	if err == nil && !owned {
		return ErrLost
	}
	return err
}
