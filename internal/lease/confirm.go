package lease

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// ErrUnconfirmed is returned by a try if too few replicas have confirmed its grant in time.
var ErrUnconfirmed = errors.New("baton: too few replicas have confirmed")

// An unconfirmedGrant is a grant that replicas must confirm before it is accepted.
type unconfirmedGrant struct {
	grant
	err error // why it is given back, once it is
}

// confirm renews what was granted, and has replicas confirm the renewal.
func (q *keyQueue) confirm(c *claim, g *unconfirmedGrant, of Renewal) {
	var sent time.Time
	q.manager.store.Renew([]Renewal{of}, func(int) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		sent = time.Now()
		return c.state == claimActive && c.want.confirming == g
	}, func(_ int, r RenewResult) { q.handleConfirmation(c, g, of, r, sent) })
}

func (q *keyQueue) handleConfirmation(c *claim, g *unconfirmedGrant, of Renewal, r RenewResult, sent time.Time) {
	q.mu.Lock()
	var todo pendingCall
	switch w, now := client.NewTrustWindow(sent, of.TTL), time.Now(); {
	case c.state != claimActive || c.want.confirming != g || g.err != nil: // it has ended, or wants something else by now
	case c.want.weight == 0: // nobody waits for it any more
		c.want.confirming = nil
	case r.Err != nil:
		todo = q.giveBackUnconfirmed(c, r.Err)
	case !r.Held:
		todo = q.giveBackUnconfirmed(c, errors.New("the grant is gone"))
	case g.window.Remaining(now) <= 0 || w.Remaining(now) <= 0: // another may have been let in since
		todo = q.giveBackUnconfirmed(c, retry.ErrReplyTooLate)
	default:
		c.want.confirming, c.hold.confirmed, q.lastErr = nil, of.Confirm, nil
		g.window, g.contended = w, g.contended || r.Contended
		todo = q.acceptGrant(c, g.grant)
	}
	q.mu.Unlock()
	q.runAsync(todo)
}

// giveBackUnconfirmed gives a grant back that was not confirmed. Tries that wait for it fail when
// that is done; the others ask again.
func (q *keyQueue) giveBackUnconfirmed(c *claim, err error) pendingCall {
	if !errors.Is(err, ErrUnconfirmed) && !retry.IsPanic(err) {
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	c.redisError("renew", err)
	c.want.confirming.err = err
	if c.hold.weight == 0 {
		return pendingCall{claim: q.beginRelease()}
	}
	c.want.weight, c.redis.maybeQueued = 0, true
	return pendingCall{claim: c, shrink: true}
}

// afterShrink goes on when a claim that holds more has given back what was not confirmed.
func (q *keyQueue) afterShrink(c *claim) {
	q.mu.Lock()
	var todo pendingCall
	if c.state == claimActive && c.want.unconfirmed() != nil {
		q.failUnconfirmed(c)
		todo = q.advance()
	}
	q.mu.Unlock()
	q.runAsync(todo)
}

// failUnconfirmed fails the tries for which a grant was given back, and all that wait for a
// confirmation if the error is permanent.
func (q *keyQueue) failUnconfirmed(c *claim) {
	err := c.want.unconfirmed()
	c.want.confirming = nil
	if err == nil {
		return
	}
	q.lastErr = err
	if retry.IsPanic(err) && q.waiters.head != nil { // as for a request: the others ask for themselves
		q.waiters.head.fail(err)
	}
	q.failWaiters(err, func(l *Lease) bool {
		return l.confirm.Replicas > 0 && (l.try || retry.IsPermanent(err))
	})
}
