package lease

import (
	"slices"
	"time"
)

// What the engine knows for a Trace. The mutex of the queue is held.

// traceWait tells that a lease which has just come has to wait for others: unless the
// claim is about to ask for it.
func (l *Lease) traceWait() {
	c := l.queue.claim
	requests := c != nil && c.state == claimActive && c.wanted > 0 && l.queue.waiters.head == l && c.seq < max(c.wantSeq, 1)
	if l.state == leaseWaiting && !requests {
		l.tracer.waiting()
	}
}

// traceEnd tells why the lease ends, but for a release, of which Redis is yet to hear.
func (l *Lease) traceEnd(err error) {
	if c := l.queue.claim; l.state == leaseHeld {
		l.claim.lastTracer = l.tracer
	} else if c != nil && c.state == claimActive {
		c.lastTracer = l.tracer
	}
	t := l.tracer
	if t == nil {
		return
	}
	switch t.endedAt = time.Now(); {
	case l.state == leaseWaiting:
		t.failed(err)
	case err == ErrLost:
		t.lost(t.cause)
	case err != ErrReleased: // given back, for ctx had ended
		emit(t, t.trace.Released, ReleasedInfo{t.eventAt(t.endedAt), t.endedAt.Sub(t.grantedAt), nil})
	}
}

// lossCause is why the lease is lost, of whose claim that is said; back says that it was
// not received.
func (l *Lease) lossCause(cause LossCause, revoked bool) LossCause {
	now := time.Now()
	if l.claim.window.remaining(now) <= 0 { // whatever Redis has said later
		cause = RenewFailed
	}
	switch sink, _ := l.sink.(memberSink); {
	case cause != RenewFailed:
		return cause
	case revoked:
		return NotReceived
	case l.maxHold != 0 && l.grantedAt.elapsed(now) >= l.maxHold, sink.multi != nil && sink.multi.maxHoldExceeded():
		return MaxHoldExceeded
	}
	return cause
}

// grantPath is how the claim came to what it has just given the lease.
func (c *claim) grantPath(l *Lease) GrantPath {
	if c.fencesUsed > 1 || c.path == Immediate && l.tracer.waitReported { // for others of this process
		return Local
	}
	return c.path
}

// recordPath notes that the claim is given its permits by the answer to r.
func (c *claim) recordPath(r Request) {
	if c.path = Immediate; r.Seq > max(r.WantSeq, 1) {
		c.path = Polled
	}
}

// redisError tells of an attempt that has failed, for all who wait for it: or, if there
// is nobody any more, for the last.
func (c *claim) redisError(op string, err error) {
	switch {
	case err == nil:
	case c.state == claimActive:
		eachTrace(func(t *tracer) { t.redisError(op, err) }, c.leases, c.queue.waiters)
	default:
		c.lastTracer.redisError(op, err)
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
