package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// handleLateReply deals with an answer that nobody waits for any more: the claim ended while
// the request was under way. It may have been executed after what ended it.
func (q *keyQueue) handleLateReply(c *claim, r Request, reply Reply, err error) {
	switch {
	case c.state == claimDraining || r.Want == 0 || reply.Lost || err == nil && !reply.Granted && !r.Enqueue:
	case c.state == claimReleasing: // a second release now would steal the answer to the first
		c.releaseAgain = true
	default:
		go q.manager.releaseStale(c)
	}
}

// releaseStale gives back what a request of the claim may have made after its end.
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
