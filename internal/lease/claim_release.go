package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// shrink tells Redis of permits that are used no more, and returns when that is
// confirmed, or no longer matters.
func (q *keyQueue) shrink(c *claim) error {
	q.mu.Lock()
	now := time.Now()
	until, caller := now.Add(c.window.Remaining(now)), c.caller
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
		if err == nil || !todo.shrink { // else this is repeated
			q.runAsync(todo)
		}
		return !lost, err
	}, nil)
}

// beginRelease turns the claim of the queue into one that is being given back.
func (q *keyQueue) beginRelease() *claim {
	c := q.claim
	now := time.Now()
	if c.expiresBy = now.Add(c.window.Remaining(now)); c.wanted > 0 || c.maybeQueued || c.replaces != "" {
		c.expiresBy = now.Add(c.maxLifetime())
	}
	if c.inflight > 0 {
		c.inflightDone = make(chan struct{})
	}
	c.state = claimReleasing
	c.wake()
	q.manager.Unschedule(c)
	return c
}

// finishRelease gives a releasing claim back in Redis, and returns when that is confirmed
// or no longer matters because the claim has run out by itself.
func (q *keyQueue) finishRelease(c *claim) {
	q.mu.Lock()
	inflight := c.inflightDone
	q.mu.Unlock()
	if inflight != nil { // else the release could overtake a request, which would then get the lock again
		timer := time.NewTimer(inflightTimeout)
		select {
		case <-inflight:
		case <-timer.C:
		}
		timer.Stop()
	}
	q.mu.Lock()
	c.undoLate = c.inflight > 0
	replaced := c.replaces
	q.mu.Unlock()

	if replaced != "" {
		_ = q.releaseToken(c, replaced)
	}
	c.err = q.releaseToken(c, c.token)

	q.mu.Lock()
	if c.releaseAgain || retry.IsPanic(c.err) {
		go q.manager.releaseStale(c)
	}
	q.failUnconfirmed(c)
	if q.closeClaim(c); c.wantsLinger {
		c.noteUnlock(time.Now())
	}
	todo := q.advance()
	q.mu.Unlock()
	q.runAsync(todo)
}

// releaseToken releases a token of a releasing claim. Those who wait behind it need the same of
// Redis: an error that is final for them ends their wait.
func (q *keyQueue) releaseToken(c *claim, token string) error {
	return q.manager.retryUntil(c.caller, c.expiresBy, func(ctx context.Context) (bool, error) {
		owned, err := q.sendRelease(ctx, c, token)
		c.lastTracer.RedisError("release", err)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.noteOutcome(c, err)
		return owned, err
	}, c.pauseRelease)
}

// sendRelease sends one release of a token, with the value that its last lease leaves.
func (q *keyQueue) sendRelease(ctx context.Context, c *claim, token string) (owned bool, err error) {
	last := c.lastWrite
	if last == nil || token != c.token {
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

// pauseRelease waits before a release that has failed is repeated. A try waits for one
// attempt, as for a request of its own: those that are there fail, and the next one
// ends the pause.
func (c *claim) pauseRelease(pause time.Duration, err error) {
	c.queue.mu.Lock()
	c.queue.failTries(err)
	tried := make(chan struct{})
	c.releasePaused, c.inflightDone = true, tried
	c.queue.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	}
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	c.releasePaused, c.inflightDone = false, nil
}
