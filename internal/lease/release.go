package lease

import (
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

// detach ends the hold here, the whole of it or a part, and returns what is to be done
// for that in Redis.
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

// ReleasePartial ends holds on the same key, of as many permits as each part says,
// in one step. What has been lost is passed over.
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

// releaseResult is what a release returns for what Redis said to it.
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
