package lease

import "time"

// grant hands the granted lease over. The queue's mutex is held, here and below.
func (l *Lease) grant(now time.Time) {
	l.state = leaseHeld
	if l.tracer != nil {
		l.tracer.Acquired(now, l.fence, l.claim.grantPath(l))
	}
	l.signal(nil)
}

// signal delivers the decision.
func (l *Lease) signal(err error) {
	if l.sink != nil {
		l.sink.Send(err)
	} else if l.ready != nil {
		close(l.ready)
	}
}

// lose ends a granted lease that Redis no longer knows of. It reports whether
// somebody had it in hand; if not, the loss is what its channel yields.
func (l *Lease) lose(cause string) (delivered bool) {
	l.queue.losses++
	revoked := l.sink != nil && l.sink.Revoke()
	if l.tracer != nil {
		cause = l.lossCause(cause, revoked)
	}
	l.end(ErrLost)
	if l.tracer.Lost(cause); revoked {
		l.sink.Send(l.wrap(ErrLost, nil))
	}
	return !revoked
}

// received reports whether somebody has the granted lease in hand. Who waits in
// Acquire has it at once; a channel is read when its reader comes to it, which
// may be any moment: only Revoke can tell that it will not be.
func (l *Lease) received() bool { return l.sink == nil || l.sink.Received() }

// fail ends a lease that waits, and delivers why.
func (l *Lease) fail(err error) {
	l.end(l.wrap(err, nil))
	l.signal(l.err)
}

// end ends the lease for the reason err, which it does not deliver.
func (l *Lease) end(err error) {
	if l.state == leaseWaiting {
		l.queue.waiters.remove(l)
	} else {
		c := l.claim
		if c.hold.leases.remove(l); c.linger != nil {
			if c.linger.length = 0; err == ErrReleased {
				c.linger.length = l.linger()
			}
		}
		delete(c.contention.signals, l)
		c.hold.used -= l.weight
	}
	if c := l.queue.claim; c != nil && c.state == claimActive {
		c.last = l
	}
	l.traceEnd(err)
	l.state, l.err = leaseEnded, err
	if l.stopAfterFunc != nil {
		l.stopAfterFunc()
	}
	if l.done != nil {
		close(l.done)
	}
	l.onLoss.End(l.cancelCause(err))
}

// cancelCause returns the cause with which the contexts of a lease end that has ended for the
// reason err, nil if they go on.
func (l *Lease) cancelCause(err error) error {
	switch {
	case err == ErrLost:
		return ErrLost
	case l.term():
		return ErrResigned
	}
	return nil
}
