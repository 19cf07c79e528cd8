package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// MinSlice is the shortest time for which a claim passes from lease to lease inside a process before
// other processes get it, as after sync.Mutex's starvation threshold. See Manager.newTimeSlice.
const MinSlice = time.Millisecond

// A keyQueue is the queue of this process for one key. It exists while a lease here holds or awaits
// the key, or a claim on it must still be given back.
type keyQueue struct {
	manager *Manager
	name    Name

	mu        sync.Mutex   // taken before the manager's, never after it
	removed   bool         // the manager has dropped it: look the key up again
	waiters   list         // leases that wait, first come first served
	claim     *claim       // at most one at any time
	lastErr   error        // of the last request
	errStreak retry.Streak // of requests
	losses    int          // of leases that were granted
}

// enqueue puts a lease into the queue of its key. The end of ctx makes a lease with a sink give up. For
// a lease without one, enqueue may return a claim: the caller must then call requestInline for it.
func (m *Manager) enqueue(ctx context.Context, name Name, l *Lease) (inline *claim) {
	for {
		if inline, ok := m.queueFor(name).join(ctx, l); ok {
			return inline
		}
	}
}

// queueFor returns the queue of that name.
func (m *Manager) queueFor(name Name) *keyQueue {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues.Entries[name]
	if q == nil {
		q = &keyQueue{manager: m, name: name}
		m.queues.Set(name, q)
		m.AddUser()
	}
	return q
}

// join adds a lease to the queue, unless the queue has been removed in the meantime.
func (q *keyQueue) join(ctx context.Context, lease *Lease) (inline *claim, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.removed {
		return nil, false
	}
	c, mustFail := q.claim, lease.try && q.excludesTry(lease)
	lease.queue, lease.joinedLate = q, c != nil && c.requests.loop.sending()
	q.waiters.push(lease)
	switch {
	case mustFail:
		lease.fail(ErrLocked)
		return nil, true
	case ctx.Done() != nil && lease.sink != nil:
		lease.stopAfterFunc = context.AfterFunc(ctx, func() { lease.cancel(ctx) })
	case lease.sink == nil && c == nil && (ctx.Done() == nil || q.manager.store.IsPrompt(q.name)):
		q.claim = newClaim(q, lease, false)
		q.claim.requests.loop = loopPending
		return q.claim, true
	}
	if lease.try && c != nil && !c.requests.loop.sending() { // it may be pausing, because Redis is away
		c.wake()
	}
	if lease.try && c != nil && c.state == claimReleasing { // in its release, for the same reason
		c.proceed()
	}
	q.runAsync(q.advance())
	lease.traceWait()
	return nil, true
}

// excludesTry reports whether a try fails without a request: because of what leases
// here hold, or because one of them is known to wait.
func (q *keyQueue) excludesTry(try *Lease) bool {
	c, head := q.claim, q.waiters.head
	switch {
	case c == nil || c.state != claimActive:
		return false
	case head != nil:
		return !head.try && (c.want.headMustWait || !c.canRequestMore())
	}
	return !c.mayRequest(try)
}

// removeQueue removes a queue that is not needed any more. It may have been removed before: a lost
// lease can be released later. The queue is locked.
func (m *Manager) removeQueue(q *keyQueue) {
	if q.removed {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q.removed = true
	m.queues.Delete(q.name)
	m.RemoveUser()
}

// pendingCall is the call to Redis that must follow a step, once the queue is unlocked: none, to
// finishRelease of the claim, or to report that it holds less.
type pendingCall struct {
	claim  *claim
	shrink bool
	last   *lastWrite // the value that the release also stores, or nil
}

// run runs a pending call.
func (q *keyQueue) run(e pendingCall) error {
	switch {
	case e.claim == nil:
		return nil
	case e.shrink:
		return q.shrink(e.claim)
	}
	return q.finishRelease(e.claim, e.last)
}

// runAsync runs a pending call for which no caller waits.
func (q *keyQueue) runAsync(e pendingCall) {
	if e.claim != nil {
		q.manager.Async(func() { _ = q.run(e) })
	}
}

// advance takes every step that the state of the queue allows. All events end in it: a lease joins,
// ends or gives up, Redis replies, a message comes, a window ends.
func (q *keyQueue) advance() pendingCall { return q.advanceAt(time.Time{}) }

// advanceAt is advance at the time now, which is zero if the clock has not been read yet. Reading it
// takes a large part of the time of a hand-over inside the process.
func (q *keyQueue) advanceAt(now time.Time) pendingCall {
	for q.waiters.head != nil {
		c, next := q.claim, q.waiters.head
		if c == nil {
			q.startRequesting(newClaim(q, next, false))
			return pendingCall{}
		}
		if c.state != claimActive {
			return pendingCall{} // its release leads back here
		}
		if c.hold.hasCapacity(next) {
			if now.IsZero() {
				now = time.Now()
			}
			if c.canServe(next, now) {
				q.waiters.remove(next)
				c.assign(next, now)
				continue
			}
		}
		if next.try && !c.mayRequest(next) {
			next.fail(ErrLocked)
			continue
		}
		if c.want.unconfirmed() != nil {
			break // the release of what was not confirmed leads back here
		}
		if c.want.weight == 0 && c.canRequestMore() || c.want.weight > 0 && !c.want.isFor(next) {
			q.requestMore(c, next)
			return pendingCall{}
		}
		if c.want.weight == 0 {
			q.failTries(ErrLocked) // the next in the queue waits, and a try does not
		}
		break // its reply, or the end of a lease, leads back here
	}
	c := q.claim
	switch {
	case c == nil:
		q.manager.removeQueue(q)
	case c.state != claimActive:
	case q.waiters.head == nil && c.hold.used == 0:
		if c.linger != nil {
			if now.IsZero() {
				now = time.Now()
			}
			if q.keepIdle(c, now) {
				break
			}
		}
		if c.want.weight > 0 || c.redis.weight > 0 || c.redis.maybeQueued {
			return pendingCall{claim: q.beginRelease()}
		}
		q.closeClaim(c) // nothing of it is in Redis
		q.manager.removeQueue(q)
	default:
		if q.waiters.head == nil && c.want.weight > 0 { // the lease that wanted it has gone
			c.want.weight = 0
			c.wake()
		}
		if c.dropUnused(); !c.needsShrink() {
			break
		}
		if c.want.weight == 0 {
			return pendingCall{claim: c, shrink: true}
		}
		c.wake() // its next request states that, and may bring new permits before
	}
	return pendingCall{}
}

// requestMore makes a claim that holds ask for the next lease in the queue. What no lease uses is
// given up before that: other processes come first.
func (q *keyQueue) requestMore(c *claim, next *Lease) {
	if q.name.Kind == Mutex { // the token alone names its owner: each slice has a new one
		yielding := newClaim(q, next, true)
		yielding.redis.replaces = c.token
		q.closeClaim(c)
		q.startRequesting(yielding)
		return
	}
	c.dropUnused()
	c.setWant(next)
	if c.requests.loop != loopStopped {
		c.wake()
		return
	}
	q.startRequesting(c)
}

// startRequesting makes c the claim of the queue, and asks Redis for what it wants.
func (q *keyQueue) startRequesting(c *claim) {
	q.claim, c.requests.loop = c, loopPending
	q.manager.Async(func() { q.requestLoop(c) })
}

// loseClaim ends a claim that Redis no longer has, or may soon give to another.
func (q *keyQueue) loseClaim(c *claim, cause string) pendingCall {
	delivered := false
	for c.hold.leases.head != nil {
		delivered = c.hold.leases.head.lose(cause) || delivered
	}
	if !delivered { // no caller had the lease, so the claim can be released before it runs out
		return pendingCall{claim: q.beginRelease()}
	}
	maybeQueued := c.redis.maybeQueued
	q.closeClaim(c)
	if maybeQueued {
		go q.manager.releaseStale(c)
	}
	return q.advance()
}

// closeClaim takes a claim out of use.
func (q *keyQueue) closeClaim(c *claim) {
	if s := c.linger; s != nil && s.timer != nil {
		s.timer.Stop()
	}
	c.leave(claimClosed)
	q.manager.deregister(c)
	if q.claim == c {
		q.claim = nil
	}
}

// nextTries reports whether the lease that is next is a try: its request asks once, and does
// not queue.
func (q *keyQueue) nextTries() bool { return q.waiters.head != nil && q.waiters.head.try }

// failTries ends all tries in the queue.
func (q *keyQueue) failTries(err error) {
	for lease := q.waiters.head; lease != nil && q.waiters.tries > 0; {
		next := lease.next
		if lease.try {
			lease.fail(err)
		}
		lease = next
	}
}

// noteOutcome notes the outcome of a request. It reports whether that is an error which is final for
// all leases that wait, or for some of them: it has then ended their wait.
func (q *keyQueue) noteOutcome(c *claim, err error) (final bool) {
	lasts := q.errStreak.Exceeds(c.ttl, err)
	if err != nil || !errors.Is(q.lastErr, ErrUnconfirmed) { // the next grant must still be confirmed
		q.lastErr = err
	}
	switch {
	case isSizeError(err): // it is a reply, and to one of the leases only
		q.lastErr = nil
	case retry.IsPermanent(err):
		q.failWaiters(err, anyLease)
		return true
	case lasts:
		q.failWaiters(retry.Permanent(err), (*Lease).waitsForever)
		return true
	}
	return false
}

// failWaiters ends the wait of the leases that isFor selects.
func (q *keyQueue) failWaiters(err error, isFor func(*Lease) bool) {
	for lease := q.waiters.head; lease != nil; {
		next := lease.next
		if isFor(lease) {
			lease.fail(err)
		}
		lease = next
	}
}

func anyLease(*Lease) bool { return true }
