package mutex

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// A Term is the time for which a candidate leads, from its election until [Term.Resign] or
// its loss. It is renewed in the background. Its methods may be called by multiple goroutines
// simultaneously.
//
// The zero Term behaves like a lost term. Methods of a nil Term panic. A copy stands for the
// same term. If you end one, both have ended.
type Term struct{ term *lease.Term }

// Number returns the number of the term. It is greater than that of every earlier term of the
// election. It is a fencing token. [Lease.Fence] describes it, and one exception.
func (t *Term) Number() int64 { return t.term.Lease().Fence() }

// Resign ends the term. If others campaign, the next candidate is notified before Resign
// returns. If there is no candidate, observers see at once that nobody leads.
//
// Resign returns ErrLost if the term was already lost. Another process may then have led. A
// second Resign returns ErrResigned, or ErrLost again. Resign takes no ctx. While
// Redis is unreachable it retries, at most until the term would have expired, and then
// returns the last Redis error. Whatever it returns, this candidate no longer leads, and
// nothing is left in Redis that lasts longer than the TTL. Resign never ends another term.
func (t *Term) Resign() error { return t.term.Resign() }

// Done returns a channel that is closed when the term ends, by Resign or by loss.
func (t *Term) Done() <-chan struct{} { return t.term.Lease().Done() }

// Contended returns a channel that is closed when another process campaigns. A renewal
// detects this within a third of TTL. See [Lease.Contended].
func (t *Term) Contended() <-chan struct{} { return t.term.Lease().Contended() }

// Err returns nil while this candidate leads, ErrResigned after Resign, and ErrLost after a
// loss. Err does not contact Redis; it uses the local clock.
func (t *Term) Err() error { return t.term.Lease().Err() }

// Remaining returns how long the term lasts if it cannot be renewed any more. Done is closed
// when that time is over. Each renewal extends it. It returns 0 after the term has ended.
func (t *Term) Remaining() time.Duration { return t.term.Lease().Remaining() }

// Context returns a copy of parent that is canceled when the term ends, with the cause
// [ErrLost] or [ErrResigned]; see [context.Cause]. If the term has ended, the copy is already
// canceled. Use it for all work that only a leader may do. Call stop when it is no longer needed.
func (t *Term) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return t.term.Lease().Context(parent)
}

// lead calls f, and then resigns. It reports whether the term was lost before f returned.
func (t *Term) lead(ctx context.Context, f func(context.Context, *Term) error) (lost bool, err error) {
	defer func() {
		if errors.Is(t.Err(), ErrLost) {
			lost = true
		} else if resignErr := t.Resign(); resignErr != nil && !errors.Is(resignErr, ErrResigned) { // by f
			err = errors.Join(err, resignErr)
		}
	}()
	inner, stop := t.Context(ctx)
	defer stop()
	return false, f(inner, t)
}
