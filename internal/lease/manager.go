package lease

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A Manager keeps the leases that one process has through one Redis client.
type Manager struct {
	*client.Client
	store    Store
	rtt      atomic.Int64 // how long a request takes, in ns: a moving average
	lingered lingerMemory

	mu            sync.Mutex // taken before the client's
	queues        client.Map[Name, *keyQueue]
	valueWatchers client.Map[string, *valueWatcher] // by the key of their mutexes
	valuePollers  client.Map[string, *valuePoller]  // likewise
	claimsByToken client.Map[string, *claim]        // by token: those that may be handed over
	pendingClaims []*claim                          // they wait until it is clear if hand-overs are heard
	pollBackoff   backoff.BackOff                   // has no memory, so that one serves for all claims
}

// NewManager returns the manager of a store. It needs no Close: it is at rest
// whenever nothing is held or awaited.
func NewManager(s Store) *Manager {
	m := &Manager{store: s, pollBackoff: retry.NewBackoff(MaxPollInterval, 0.1)}
	m.Client = client.New(s, m)
	return m
}

// enqueue puts a lease into the queue of its key. If ctx can end, its end makes a
// lease with sink give up. Else the caller may have to send the request itself:
// enqueue returns the claim for which it must call requestInline.
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
		m.AddUser()
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
	lease.queue, lease.joinedLate = q, c != nil && c.requests.loop.sending()
	q.waiters.push(lease)
	switch {
	case mustFail:
		lease.fail(ErrLocked)
		return nil, true
	case ctx.Done() != nil && lease.sink != nil:
		lease.stopAfterFunc = context.AfterFunc(ctx, func() { lease.cancel(ctx) })
	case lease.sink == nil && c == nil && (ctx.Done() == nil || q.manager.store.LowLatency(q.name)):
		q.claim = newClaim(q, lease, false)
		q.claim.requests.loop = loopPaused
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

// removeQueue removes a queue that nobody needs, unless that was done before: a lost lease is
// released later. The queue is locked.
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
}

// ensureNotified makes sure that a claim which leases join without asking hears when
// others begin to wait. What was said before is found out by a renewal: now, or
// when the subscription is there.
func (m *Manager) ensureNotified(c *claim, now time.Time) {
	m.mu.Lock()
	_, registered := m.claimsByToken.Entries[c.token]
	m.claimsByToken.Set(c.token, c)
	active := m.Subscribed()
	if active && !registered {
		m.RenewNow(c, now)
	}
	m.mu.Unlock()
	if !active {
		m.subscribe(nil)
	}
}

// deregister ends all that the manager does for a claim.
func (m *Manager) deregister(c *claim) {
	m.Unschedule(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimsByToken.Delete(c.token)
}
