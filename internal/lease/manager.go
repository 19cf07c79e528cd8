package lease

import (
	"container/heap"
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A Manager keeps the leases that one process has through one Redis client.
type Manager struct {
	store       Store
	channel     string // where it hears of hand-overs
	tokenPrefix string // what its tokens have in common
	serial      atomic.Int64
	rtt         atomic.Int64 // how long a request takes, in ns: a moving average
	backlog     retry.Backlog
	workers     atomic.Pointer[workerPool] // there is one while there is a subscription
	hearing     atomic.Int64               // number of the subscription if hand-overs and notices are heard, else 0
	lingered    lingerMemory

	mu            sync.Mutex
	queues        Map[Name, *keyQueue]
	watchers      Map[string, *groupWatcher] // by the key of their wait groups
	valueWatchers Map[string, *valueWatcher] // by the key of their mutexes
	valuePollers  Map[string, *valuePoller]  // likewise
	claimsByToken Map[string, *claim]        // by token: those that may be handed over
	pollBackoff   backoff.BackOff            // has no memory, so that one serves for all claims
	heap          renewHeap                  // the held claims and the tasks
	renewTimer    *time.Timer                // set for the first of them
	timerAt       time.Time                  // when the timer fires, zero if it does not
	subscription  subscription
	subscriptions int64 // that have been made so far
}

// NewManager returns the manager of a store. It needs no Close: it is at rest
// whenever nothing is held or awaited.
func NewManager(s Store) *Manager {
	id := rand.Text()[:16]
	return &Manager{store: s, channel: "baton:" + id, tokenPrefix: newTokenPrefix(id), pollBackoff: retry.NewBackoff(MaxPollInterval, 0.1)}
}

// enqueue puts a lease into the queue of its key. If ctx can end, its end makes a
// lease with sink give up. Else the caller may have to send the request itself:
// join returns the claim for which it must call requestInline.
func (m *Manager) enqueue(ctx context.Context, name Name, l *Lease) (inline *claim) {
	for {
		if inline, ok := m.queueFor(name).enqueue(ctx, l); ok {
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
		m.subscription.markUsed()
	}
	return q
}

// enqueue takes a lease in, unless the queue has gone in the meantime.
func (q *keyQueue) enqueue(ctx context.Context, lease *Lease) (inline *claim, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.removed {
		return nil, false
	}
	c, mustFail := q.claim, lease.try && q.excludesTry(lease)
	lease.queue, lease.joinedLate = q, c != nil && c.inRequest
	q.waiters.push(lease)
	switch {
	case mustFail:
		lease.fail(ErrLocked)
		return nil, true
	case ctx.Done() != nil && lease.sink != nil:
		lease.stopAfterFunc = context.AfterFunc(ctx, func() { lease.cancel(ctx) })
	case lease.sink == nil && c == nil && (ctx.Done() == nil || q.manager.store.LowLatency()):
		q.claim = newClaim(q, lease, false)
		q.claim.loopRunning = true
		return q.claim, true
	}
	if lease.try && c != nil && !c.inRequest { // it may be pausing, because Redis is away
		c.wake()
	}
	if lease.try && c != nil && c.releasePaused && c.inflightDone != nil { // in its release, for the same reason
		close(c.inflightDone)
		c.releasePaused, c.inflightDone = false, nil
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
		return !head.try && (c.headMustWait || !c.canRequestMore())
	}
	return !c.mayRequest(try)
}

// removeQueue removes a queue that nobody needs. The queue is locked.
func (m *Manager) removeQueue(q *keyQueue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q.removed = true
	m.queues.Delete(q.name)
	m.closeWhenIdle()
}

// closeWhenIdle closes the subscription, in a moment, if nobody needs it. The manager is
// locked.
func (m *Manager) closeWhenIdle() {
	if len(m.queues.Entries)+len(m.watchers.Entries)+len(m.valueWatchers.Entries) == 0 {
		m.subscription.scheduleClose(m)
	}
}

// pollInterval is after how long to ask again when we shall be told, in case the message is lost.
func (m *Manager) pollInterval() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pollBackoff.NextBackOff()
}

// register makes hand-overs to the claim known here.
func (m *Manager) register(c *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimsByToken.Set(c.token, c)
	c.registered = true
}

// ensureNotified makes sure that a claim which leases join without asking hears when
// others begin to wait. What was said before is found out by a renewal: now, or
// when the subscription is there.
func (m *Manager) ensureNotified(c *claim, now time.Time) {
	m.mu.Lock()
	registered := c.registered
	m.claimsByToken.Set(c.token, c)
	c.registered = true
	active := m.subscription.active
	if active && !registered {
		m.renewNow(c, now)
	}
	m.mu.Unlock()
	if !active {
		m.subscribe(nil)
	}
}

// renewNow makes a held claim due. The manager is locked.
func (m *Manager) renewNow(c *claim, now time.Time) {
	if c.index >= 0 {
		c.due = now
		heap.Fix(&m.heap, int(c.index))
		m.armTimer()
	}
}

// deregister ends all that the manager does for a claim.
func (m *Manager) deregister(c *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heap.remove(c)
	if c.registered {
		m.claimsByToken.Delete(c.token)
	}
}

// scheduleRenewal sets when the clock is to look at a held claim again. That is not later
// than a lease of it may have to be ended. The queue is locked.
func (m *Manager) scheduleRenewal(c *claim, now time.Time) {
	next := nextRenewal(c.window, now)
	if !c.nextForcedEnd.IsZero() {
		next = min(next, max(c.nextForcedEnd.Sub(now), 0))
	}
	m.schedule(c, c.window, now, next)
}

// nextRenewal is when the clock looks at a renewable again: when a third is over of what
// Redis has left of its TTL, so that each renewal lasts for a third of the TTL. While
// renewing fails that is ever sooner, but no sooner than after the retry interval.
func nextRenewal(w trustWindow, now time.Time) time.Duration {
	remaining := w.remaining(now)
	return min(remaining, max((remaining+w.margin)/3, w.retryInterval()))
}

// schedule has the clock look at the renewable after next. It may do so sooner, together
// with others: by a twelfth of the TTL, but not before the retry interval is over.
func (m *Manager) schedule(c renewable, w trustWindow, now time.Time, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := c.entry()
	e.due, e.slack = now.Add(next), max(0, min((w.length+w.margin)/12, next-w.retryInterval()))
	if e.index < 0 {
		heap.Push(&m.heap, c)
	} else {
		heap.Fix(&m.heap, int(e.index))
	}
	m.armTimer()
}

// unschedule takes a renewable from the clock.
func (m *Manager) unschedule(c renewable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heap.remove(c)
}

// releaseStale gives back what a request of the claim may have made after its end.
func (m *Manager) releaseStale(c *claim) {
	_ = m.releaseToken(c.caller, c.queue.name, c.token, time.Now().Add(c.maxLifetime()), c.lastTracer, nil)
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

// retryUntil makes attempts until one is confirmed, or until passes. It returns
// ErrLost if the first of them is told that there was nothing to give back. No
// attempt may take all of the time: one connection that has fallen silent must
// not be the only try. After one that has failed it sleeps, by the function sleep if
// there is one. The ctx is for its values only.
func (m *Manager) retryUntil(ctx context.Context, until time.Time, attempt func(context.Context) (owned bool, err error), sleep func(time.Duration, error)) error {
	var backOff backoff.BackOff
	var lastErr error
	var replies chan attemptResult // of the attempts that are not waited for to their end
	var done chan struct{}         // closed when no more replies are wanted
	defer func() {
		if done != nil {
			close(done)
		}
	}()
	for retried := false; ; retried = true {
		remaining := time.Until(until)
		var got attemptResult
		if m.store.MaxBlock() < remaining {
			got = attemptInline(ctx, max(remaining/3, MinTTL), attempt)
		} else {
			if done == nil {
				replies, done = make(chan attemptResult), make(chan struct{})
			}
			got = m.attemptAsync(ctx, max(remaining/3, MinTTL), attempt, replies, done)
		}
		if got.err == nil {
			m.backlog.Answered()
		}
		switch {
		case got.err == nil && !got.owned && !retried:
			return ErrLost
		case got.err == nil:
			return nil
		case retry.IsPermanent(retry.UnmarkDenied(got.err)) || retry.IsPanic(got.err):
			return got.err
		}
		if lastErr == nil || got.err != retry.ErrNoAnswer { // Redis' own word says more
			lastErr = got.err
		}
		if remaining = time.Until(until); remaining <= 0 {
			return lastErr
		}
		if backOff == nil {
			backOff = retry.NewBackoff(5*time.Millisecond, 0.5)
		}
		if wait := min(backOff.NextBackOff(), remaining); sleep != nil {
			sleep(wait, got.err)
		} else {
			time.Sleep(wait)
		}
	}
}

// attemptResult is that of an attempt to give something back.
type attemptResult struct {
	owned bool
	err   error
}

func attemptInline(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error)) (o attemptResult) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o.owned, o.err = attempt(ctx)
	return o
}

// attemptAsync makes an attempt on another goroutine, and waits for it for the
// timeout. An earlier attempt may reply instead.
func (m *Manager) attemptAsync(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error), replies chan attemptResult, done chan struct{}) attemptResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	m.async(func() {
		defer cancel() // not sooner: it may end well although nobody waits for it any more
		owned, err := attempt(ctx)
		select {
		case replies <- attemptResult{owned, err}:
		case <-done:
		}
	})
	select {
	case o := <-replies:
		return o
	case <-ctx.Done():
		return attemptResult{err: retry.ErrNoAnswer}
	}
}
