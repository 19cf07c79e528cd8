package lease

import (
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
	pendingClaims []*claim                          // they wait for the outcome of subscribing
	pollBackoff   backoff.BackOff                   // has no memory, so that one serves for all claims
}

// NewManager returns the manager of a store. It needs no Close: it is at rest
// whenever nothing is held or awaited.
func NewManager(s Store) *Manager {
	m := &Manager{store: s, pollBackoff: retry.NewBackoff(MaxPollInterval, 0.1)}
	m.Client = client.New(s, m)
	return m
}

// pollInterval returns the time until the next poll of a waiter that receives messages, in case one
// is lost.
func (m *Manager) pollInterval() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pollBackoff.NextBackOff()
}

// register makes the manager pass hand-overs to the claim.
func (m *Manager) register(c *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimsByToken.Set(c.token, c)
}

// ensureNotified makes sure that a claim which leases join without a request gets a notice when
// others begin to wait. A renewal finds earlier waiters: now, or when the subscription is there.
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
