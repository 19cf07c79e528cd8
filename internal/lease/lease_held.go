package lease

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// Release ends the lease. It returns ErrLost if the hold had ended before,
// ErrReleased if it was released before, and otherwise when the claim has been
// handed on, or given back to Redis, or has run out before that was confirmed.
func (l *Lease) Release() error { return l.release(0) }

// ReleasePermits ends the hold of n permits, of as many as the lease has or fewer.
func (l *Lease) ReleasePermits(n int64) error { return l.release(n) }

// release ends the hold of n permits, or of all for 0.
func (l *Lease) release(n int64) error {
	l = l.canonical()
	todo, whole, err := l.detach(n)
	if err == nil {
		err = l.releaseResult(whole, l.queue.run(todo))
		retry.Repanic(err)
	}
	return l.wrapRelease(err)
}

// detach ends the hold in this process, all of it or a part, and returns the call to Redis that must
// follow.
func (l *Lease) detach(n int64) (todo pendingCall, whole bool, err error) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	now := time.Now()
	if l.expire(now); l.state == leaseEnded {
		return pendingCall{}, false, l.err
	}
	l.reduce(n)
	whole = l.state == leaseEnded
	return l.queue.advanceAt(now), whole, nil
}

// reduce ends the hold of n permits, or of all for 0.
func (l *Lease) reduce(n int64) {
	if n == 0 || n >= l.weight {
		l.end(ErrReleased)
		return
	}
	l.weight -= n
	l.claim.hold.used -= n
}

// A PartialRelease is some of the permits of a lease, or all.
type PartialRelease struct {
	Lease *Lease
	N     int64
}

// ReleasePartial ends holds on the same key, of as many permits as each part states, in one step. It
// skips leases that are lost.
func ReleasePartial(parts []PartialRelease) {
	for i := 0; i < len(parts); {
		q := parts[i].Lease.queue
		var whole []*trace.Tracer
		q.mu.Lock()
		for ; i < len(parts) && parts[i].Lease.queue == q; i++ { // not that of one that was lost long ago
			l := parts[i].Lease
			if l.expire(time.Now()); l.state != leaseEnded {
				l.reduce(parts[i].N)
				if l.tracer != nil && l.state == leaseEnded {
					whole = append(whole, l.tracer)
				}
			}
		}
		todo := q.advance()
		q.mu.Unlock()
		err := q.run(todo)
		for _, t := range whole {
			t.Released(err, err == ErrLost)
		}
	}
}

// releaseResult returns the result of a release to which Redis has replied with err.
func (l *Lease) releaseResult(whole bool, err error) error {
	switch {
	case err == nil:
	case errors.Is(err, ErrLost):
		err = ErrLost
		l.queue.mu.Lock()
		l.err = err
		l.queue.mu.Unlock()
	default:
		err = l.wrapRelease(err)
	}
	if whole {
		l.tracer.Released(err, err == ErrLost)
	}
	return err
}

// expire ends a hold whose window has passed, in case the renewal timer is late.
func (l *Lease) expire(now time.Time) {
	if l.state == leaseHeld && l.claim.hold.window.Remaining(now) <= 0 {
		l.queue.runAsync(l.queue.loseClaim(l.claim, trace.RenewFailed))
	}
}

// lostLease is what the zero Lease stands for: a hold that has been lost.
var lostLease = &Lease{queue: new(keyQueue), state: leaseEnded, err: ErrLost}

// canonical returns the lease that l is, or is a copy of.
func (l *Lease) canonical() *Lease {
	if l.self == nil {
		return lostLease
	}
	return l.self
}

// Err returns nil while the lease is held, and then why it ended.
func (l *Lease) Err() error {
	l = l.canonical()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.expire(time.Now())
	return l.wrap(l.err, nil)
}

// Done returns a channel that is closed when the hold ends.
func (l *Lease) Done() <-chan struct{} {
	l = l.canonical()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.expire(time.Now())
	if l.done == nil {
		l.done = make(chan struct{})
		if l.state == leaseEnded {
			close(l.done)
		}
	}
	return l.done
}

// Remaining returns how long the lease is held even if no renewal succeeds any more.
func (l *Lease) Remaining() time.Duration {
	l = l.canonical()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	now := time.Now()
	if l.expire(now); l.state != leaseHeld {
		return 0
	}
	return l.claim.hold.window.Remaining(now)
}

// Losses counts the losses of leases of one key in this process.
type Losses struct {
	queue *keyQueue
	n     int
}

// Losses returns the losses up to now. As long as a later call, on any lease of the key, returns the
// same, no lease has been lost in between.
func (l *Lease) Losses() Losses {
	l = l.canonical()
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.expire(time.Now())
	return Losses{l.queue, l.queue.losses}
}

// Fence returns the fencing number of the hold.
func (l *Lease) Fence() int64 { return l.fence }

// Context returns a copy of parent that is cancelled, with the cause ErrLost,
// when the hold is lost, and that of a term with the cause ErrResigned when it is released.
func (l *Lease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	l = l.canonical()
	return l.onLoss.Derive(parent, &l.queue.mu, func() (ended bool, cause error) {
		if l.expire(time.Now()); l.state == leaseEnded {
			return true, l.cancelCause(l.err)
		}
		return false, nil
	})
}
