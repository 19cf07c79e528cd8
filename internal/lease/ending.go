package lease

import "time"

// deliver hands the granted lease over. The line's mutex is held, here and below.
func (l *Lease) deliver(now time.Time) {
	l.state = granted
	if l.tracer != nil {
		l.tracer.acquired(now, l.fence, l.claim.howHad(l))
	}
	l.tell(nil)
}

// tell delivers the decision.
func (l *Lease) tell(err error) {
	if l.mail != nil {
		l.mail.Put(err)
	} else if l.ready != nil {
		close(l.ready)
	}
}

// lose ends a granted lease that Redis no longer knows of. It reports whether
// somebody had it in hand; if not, the loss is what its channel yields.
func (l *Lease) lose(why Cause) (inside bool) {
	l.line.losses++
	back := l.mail != nil && l.mail.TakeBack()
	if l.tracer != nil {
		l.tracer.cause = l.cause(why, back)
	}
	if l.finish(ErrLost); back {
		l.mail.Put(ErrLost)
	}
	return !back
}

// received reports whether somebody has the granted lease in hand. Who waits in
// Acquire has it at once; a channel is read when its reader comes to it, which
// may be any moment: only TakeBack can tell that it will not be.
func (l *Lease) received() bool { return l.mail == nil || l.mail.Received() }

// refuse ends a lease that waits, and delivers why.
func (l *Lease) refuse(err error) {
	l.finish(l.wrap(err, nil))
	l.tell(l.err)
}

// finish ends the lease for the reason err, which it does not deliver.
func (l *Lease) finish(err error) {
	if l.state == waiting {
		l.line.waiters.remove(l)
	} else {
		l.claim.leases.remove(l)
		l.claim.caller = &l.caller
		l.claim.used -= l.weight
	}
	l.traceEnd(err)
	l.state, l.err = ended, err
	if l.unhook != nil {
		l.unhook()
	}
	if l.done != nil {
		close(l.done)
	}
	if err == ErrLost {
		for cancel := range l.onLoss {
			(*cancel)(ErrLost)
		}
	}
	l.onLoss = nil
}
