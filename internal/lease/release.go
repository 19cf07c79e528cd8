package lease

import (
	"errors"
	"time"
)

// Release ends the lease. It returns ErrLost if the hold had ended before,
// ErrReleased if it was released before, and otherwise when the claim has been
// handed on, or given back to Redis, or has run out before that was confirmed.
func (l *Lease) Release() error { return l.release(0) }

// ReleasePart ends the hold of n permits, of as many as the lease has or fewer.
func (l *Lease) ReleasePart(n int64) error { return l.release(n) }

// release ends the hold of n permits, or of all for 0.
func (l *Lease) release(n int64) error {
	l = l.itself()
	todo, whole, err := l.let(n)
	if err != nil {
		return err
	}
	err = l.told(whole, l.line.do(todo))
	raise(err)
	return err
}

// let ends the hold here, the whole of it or a part, and returns what is to be done
// for that in Redis.
func (l *Lease) let(n int64) (todo errand, whole bool, err error) {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	now := time.Now()
	if l.expire(now); l.state == ended {
		return errand{}, false, l.err
	}
	l.part(n)
	whole = l.state == ended
	return l.line.advanceAt(now), whole, nil
}

// part ends the hold of n permits, or of all for 0.
func (l *Lease) part(n int64) {
	if n == 0 || n >= l.weight {
		l.finish(ErrReleased)
		return
	}
	l.weight -= n
	l.claim.used -= n
}

// A Part is some of the permits of a lease, or all.
type Part struct {
	Lease *Lease
	N     int64
}

// ReleaseParts ends holds on the same key, of as many permits as each part says,
// in one step. What has been lost is passed over.
func ReleaseParts(parts []Part) {
	for i := 0; i < len(parts); {
		ln := parts[i].Lease.line
		var whole []*tracer
		ln.mu.Lock()
		for ; i < len(parts) && parts[i].Lease.line == ln; i++ { // not that of one that was lost long ago
			l := parts[i].Lease
			if l.expire(time.Now()); l.state != ended {
				l.part(parts[i].N)
				if l.tracer != nil && l.state == ended {
					whole = append(whole, l.tracer)
				}
			}
		}
		todo := ln.advance()
		ln.mu.Unlock()
		err := ln.do(todo)
		for _, t := range whole {
			t.released(err)
		}
	}
}

// told is what a release returns for what Redis said to it.
func (l *Lease) told(whole bool, err error) error {
	switch {
	case err == nil:
	case errors.Is(err, ErrLost):
		err = ErrLost
		l.line.mu.Lock()
		l.err = err
		l.line.mu.Unlock()
	default:
		err = &opError{"release", l.line.name.Key, err, nil}
	}
	if whole {
		l.tracer.released(err)
	}
	return err
}
