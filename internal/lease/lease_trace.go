package lease

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// What the engine reports to a Trace. The mutex of the queue is held, except in newTracer.

// newTracer returns the tracer of a request.
func newTracer(ctx context.Context, p *Params) *trace.Tracer {
	e := trace.Event{Key: p.Key, Weight: 1, Shared: p.Shared}
	if p.Kind == Semaphore {
		e.Weight = p.Weight
	}
	return trace.New(ctx, p.Trace, e)
}

// withoutFailed is a Trace whose requests may fail unnoticed.
type withoutFailed struct{ trace.Trace }

func (t withoutFailed) Has(hook string) bool { return hook != trace.Failed && t.Trace.Has(hook) }

// traceWait emits Waiting for a lease that has just joined and must wait for others. It does not if
// the claim is about to ask for that lease.
func (l *Lease) traceWait() {
	c := l.queue.claim
	requests := c != nil && c.state == claimActive && c.want.weight > 0 && l.queue.waiters.head == l && c.requests.seq < max(c.want.seq, 1)
	if l.state == leaseWaiting && !requests {
		l.tracer.Waiting()
	}
}

// traceEnd emits the reason why the lease ended. A release is emitted later, once Redis has replied.
func (l *Lease) traceEnd(err error) {
	t := l.tracer
	if t == nil {
		return
	}
	t.End()
	switch {
	case l.state == leaseWaiting && !t.Waited() && errors.Is(err, ErrValueFound): // it asked for nothing else
	case l.state == leaseWaiting:
		t.Failed(err)
	case err == ErrLost: // lose sends it
	case err != ErrReleased: // given back, for ctx had ended
		t.GivenBack()
	}
}

// lossCause returns why the lease is lost if its claim is lost for the given cause. With revoked, the
// lease was not received.
func (l *Lease) lossCause(cause string, revoked bool) string {
	now := time.Now()
	if l.claim.hold.window.Remaining(now) <= 0 { // even if Redis has replied otherwise since
		cause = trace.RenewFailed
	}
	switch sink, _ := l.sink.(memberSink); {
	case cause != trace.RenewFailed:
		return cause
	case revoked:
		return trace.NotReceived
	case l.maxHold != 0 && l.grantedAt.elapsed(now) >= l.maxHold, sink.multi != nil && sink.multi.maxHoldExceeded():
		return trace.MaxHoldExceeded
	}
	return cause
}

// grantPath returns how the claim got what it has just given to the lease.
func (c *claim) grantPath(l *Lease) string {
	if c.idle() {
		return trace.Lingered
	}
	if c.hold.fencesUsed > 1 || c.hold.path == trace.Immediate && l.tracer.Waited() { // for others of this process
		return trace.Local
	}
	return c.hold.path
}

// replyPath returns how a claim gets what the reply to r grants.
func replyPath(r Request) string {
	if r.Seq > max(r.WantSeq, 1) {
		return trace.Polled
	}
	return trace.Immediate
}

// redisError emits a failed attempt to all leases that wait for it, or to the last one if none is
// left.
func (c *claim) redisError(op string, err error) {
	switch {
	case err == nil, isSizeError(err): // an answer
	case c.state == claimActive:
		eachTrace(func(t *trace.Tracer) { t.RedisError(op, err) }, c.hold.leases, c.queue.waiters)
	default:
		c.last.tracer.RedisError(op, err)
	}
}

// eachTrace calls f with one tracer for each Trace of the leases.
func eachTrace(f func(*trace.Tracer), lists ...list) {
	var seen trace.Seen
	for _, q := range lists {
		for l := q.head; l != nil; l = l.next {
			if seen.Add(l.tracer) {
				f(l.tracer)
			}
		}
	}
}
