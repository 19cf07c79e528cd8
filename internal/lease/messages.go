package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// subscribe opens the subscription if there is none. It reports whether the outcome is known. If it
// is not, the claim is woken when it is.
func (m *Manager) subscribe(c *claim) (resolved bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if resolved = m.Subscribe(); c != nil && !resolved {
		m.pendingClaims = append(m.pendingClaims, c)
	}
	return resolved
}

// SetSubscribed notes whether hand-overs are received. When they begin to be, messages may have been
// lost before, so every claim that waits asks once.
func (m *Manager) SetSubscribed(subscribed bool) {
	for _, c := range m.claimsToWake(subscribed) {
		c.queue.mu.Lock()
		c.wake()
		todo := c.queue.endIdle(c)
		c.queue.mu.Unlock()
		c.queue.runAsync(todo)
	}
}

// claimsToWake returns the claims that must ask because messages begin or cease to be received. It
// also renews claims that leases join without a request: see ensureNotified.
func (m *Manager) claimsToWake(subscribed bool) (wake []*claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wake, m.pendingClaims = m.pendingClaims, nil
	if !subscribed {
		return append(wake, m.lingeringClaims()...)
	}
	now := time.Now()
	for _, c := range m.claimsByToken.Entries {
		wake = append(wake, c)
		if c.notified || c.queue.name.Kind == RWMutex {
			m.RenewNow(c, now)
		}
	}
	return wake
}

// HandleMessage passes a hand-over, or a notice, to its claim. A hand-over of an unknown token
// belongs to a claim that was given up while a request was under way: the token is released.
func (m *Manager) HandleMessage(msg Handover) {
	m.mu.Lock()
	c := m.claimsByToken.Entries[msg.Token]
	m.mu.Unlock()
	if c != nil {
		c.queue.handleHandover(c, msg)
		return
	}
	if msg.Seq > 0 {
		go func() {
			_ = m.releaseToken(context.Background(), msg.Name, msg.Token, time.Now().Add(3*MaxPollInterval), nil, nil)
		}()
	}
}

// handleHandover handles the message of a hand-over. It accepts the grant if enough is left of its
// window; otherwise the claim asks. The message may also be a contention notice.
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
			todo = q.receiveGrant(c, grant{
				fenceBase: msg.FenceBase, weight: msg.Weight, grantedNow: c.want.weight,
				window: w, contended: msg.Contended, path: trace.Notified,
			})
		}
		c.wake()
	}
	q.mu.Unlock()
	q.runAsync(todo)
}
