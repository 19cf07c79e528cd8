package lease

import (
	"slices"
	"time"
)

// What the engine knows for a Trace. The mutex of the line is held.

// traceWait tells that a lease which has just come has to wait for others: unless the
// claim is about to ask for it.
func (l *Lease) traceWait() {
	c := l.line.claim
	asks := c != nil && c.state == live && c.want > 0 && l.line.waiters.head == l && c.n < max(c.order, 1)
	if l.state == waiting && !asks {
		l.tracer.waiting()
	}
}

// traceEnd tells why the lease ends, but for a release, of which Redis is yet to hear.
func (l *Lease) traceEnd(err error) {
	if c := l.line.claim; l.state == granted {
		l.claim.last = l.tracer
	} else if c != nil && c.state == live {
		c.last = l.tracer
	}
	t := l.tracer
	if t == nil {
		return
	}
	switch t.until = time.Now(); {
	case l.state == waiting:
		t.failed(err)
	case err == ErrLost:
		t.lost(t.cause)
	case err != ErrReleased: // given back, for ctx had ended
		tell(t, t.trace.Released, ReleasedInfo{t.at(t.until), t.until.Sub(t.since), nil})
	}
}

// cause is why the lease is lost, of whose claim that is said; back says that it was
// not received.
func (l *Lease) cause(why Cause, back bool) Cause {
	now := time.Now()
	if l.claim.trust.left(now) <= 0 { // whatever Redis has said later
		why = Unrenewed
	}
	switch m, _ := l.mail.(member); {
	case why != Unrenewed:
		return why
	case back:
		return Unreceived
	case l.maxHold != 0 && l.since.until(now) >= l.maxHold, m.group != nil && m.group.overdue():
		return Overdue
	}
	return why
}

// howHad is how the claim came to what it has just given the lease.
func (c *claim) howHad(l *Lease) How {
	if c.issued > 1 || c.how == AtOnce && l.tracer.waits { // for others of this process
		return Inside
	}
	return c.how
}

// answeredTo notes that the claim is given its permits by the answer to r.
func (c *claim) answeredTo(r Request) {
	if c.how = AtOnce; r.N > max(r.Order, 1) {
		c.how = ByPoll
	}
}

// redisError tells of an attempt that has failed, for all who wait for it: or, if there
// is nobody any more, for the last.
func (c *claim) redisError(op string, err error) {
	switch {
	case err == nil:
	case c.state == live:
		eachTrace(func(t *tracer) { t.redisError(op, err) }, c.leases, c.line.waiters)
	default:
		c.last.redisError(op, err)
	}
}

// eachTrace calls f with one tracer for each Trace of the leases.
func eachTrace(f func(*tracer), lists ...list) {
	var seen []*Trace
	for _, q := range lists {
		for l := q.head; l != nil; l = l.next {
			if t := l.tracer; t != nil && !slices.Contains(seen, t.trace) {
				seen = append(seen, t.trace)
				f(t)
			}
		}
	}
}
