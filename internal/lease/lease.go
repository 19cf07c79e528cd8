package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// Params describes the lease that a caller requests.
type Params struct {
	Kind    Kind
	Key     string
	Label   string // for the token: that of the first waiter of a process
	TTL     time.Duration
	MaxHold time.Duration // 0: renewed until released
	Weight  int64
	Size    int64 // of a semaphore
	// Replicas is how many replicas must confirm a grant, or AllReplicas, and
	// ReplicaTimeout for how long that is waited for.
	Replicas       int
	ReplicaTimeout time.Duration
	Shared         bool // all leases of a process that are shared are one in Redis
	Try            bool // fail with ErrLocked rather than wait
	Term           bool // the lease is of a Term: its contexts end with its release, too
	Trace          trace.Trace
	Value          *ValueReader // of a Mutex; nil if the value beside it does not matter
	// NotifyContention asks for a notice when another process waits.
	NotifyContention bool
	// Linger is how long the process keeps what it holds after the release, to use it again, unless
	// another process waits. It is cut to a tenth of TTL.
	Linger time.Duration
}

type leaseState uint8

const (
	leaseWaiting leaseState = iota
	leaseHeld
	leaseEnded
)

// A Lease is what one caller waits for and then holds, from request to release.
// It is the node of its queue, and is meant to stand inside the public type, so
// that one allocation serves for all.
type Lease struct {
	self         *Lease // so that a copy finds the lease itself, which is linked into lists; nil in the zero Lease
	label        string
	ttl, maxHold time.Duration
	weight, size int64
	tracer       *trace.Tracer // nil if there is no Trace
	caller       callerCtx
	shared, try  bool
	lingering    uint16 // for how many ms its claim may linger, and the bits of linger.go
	confirm      Confirm

	// Guarded by the mutex of queue, which is set before the lease can be seen.
	state         leaseState
	joinedLate    bool // it joined while a request was under way, so the reply does not apply to it
	queue         *keyQueue
	prev, next    *Lease
	err           error         // once ended: why
	ready         chan struct{} // closed when granted or failed; nil if nobody waits for that in a call
	sink          result.Sink   // where the result goes; nil if ready is used
	stopAfterFunc func() bool   // stops the context.AfterFunc of the ctx; nil without sink
	claim         *claim        // once granted
	grantedAt     monoTime      // when granted
	renewedAfter  time.Duration // since grantedAt: when it last could be renewed (received, within MaxHold)
	fence         int64
	done          chan struct{} // made when first asked for
	onLoss        client.LossContexts
}

// Acquire waits for the lease until ctx ends.
func (l *Lease) Acquire(ctx context.Context, m *Manager, p *Params) error {
	if err := l.Request(ctx, m, p); err != nil {
		return err
	}
	return l.Await(ctx)
}

// Request is the first half of Acquire. It is apart from Await so that Params leaves the stack before
// the wait. If it fails there is nothing to await.
func (l *Lease) Request(ctx context.Context, m *Manager, p *Params) error {
	if err := l.fill(ctx, p); err != nil {
		l.tracer.Flush()
		return err
	}
	if c := m.enqueue(ctx, Name{Kind: p.Kind, Key: p.Key}, l); c != nil {
		l.queue.requestInline(ctx, c)
	}
	return nil
}

// Await is the second half of Acquire. The ctx is that of Request.
func (l *Lease) Await(ctx context.Context) (err error) {
	switch ready := l.readyChan(); {
	case ready == nil:
	case l.tracer != nil:
		l.tracer.FlushUntil(ctx, ready)
	default:
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		err = l.cancel(ctx)
	} else {
		err = l.requestErr()
	}
	l.tracer.Flush()
	retry.Repanic(err)
	return err
}

// AcquireChan is like Acquire, but returns at once and puts the result into sink.
func (l *Lease) AcquireChan(ctx context.Context, m *Manager, p *Params, sink result.Sink) {
	if err := l.fill(ctx, p); err != nil {
		sink.Send(err)
	} else {
		l.sink = sink
		m.enqueue(ctx, Name{Kind: p.Kind, Key: p.Key}, l)
	}
	l.tracer.Flush()
}

// fill fills l from p and checks p. Flush of the tracer must follow.
func (l *Lease) fill(ctx context.Context, p *Params) (err error) {
	l.self, l.caller.parent = l, ctx
	l.label, l.ttl, l.maxHold = p.Label, p.TTL.Truncate(time.Millisecond), p.MaxHold
	l.weight, l.size, l.shared, l.try = p.Weight, p.Size, p.Shared, p.Try
	l.confirm = client.NewConfirm(p.Replicas, p.ReplicaTimeout, l.ttl)
	if p.Value != nil {
		l.caller.parent = valueCtx{ctx, p.Value}
	}
	if !p.Shared {
		l.lingering = cutLinger(p.Linger, l.ttl)
	}
	if p.Term {
		l.lingering = isTerm
	}
	if p.NotifyContention {
		l.lingering |= wantsNotice
	}
	switch {
	case ctx.Err() != nil:
		err = p.wrap(retry.CtxError(ctx))
	case p.TTL < MinTTL:
		err = p.wrap(retry.Permanent(fmt.Errorf("TTL %v is shorter than %v", p.TTL, MinTTL)))
	case p.Replicas < AllReplicas:
		err = p.wrap(retry.Permanent(fmt.Errorf("the number of Replicas is negative: %d", p.Replicas)))
	case p.ReplicaTimeout < 0:
		err = p.wrap(retry.Permanent(fmt.Errorf("ReplicaTimeout %v is negative", p.ReplicaTimeout)))
	case p.MaxHold < 0:
		err = p.wrap(retry.Permanent(fmt.Errorf("MaxHold %v is negative", p.MaxHold)))
	case p.Linger < 0:
		err = p.wrap(retry.Permanent(fmt.Errorf("the time to Linger is negative: %v", p.Linger)))
	}
	l.tracer = newTracer(ctx, p)
	if err != nil {
		l.tracer.Failed(err)
	}
	return err
}

// cancel ends a lease whose ctx has ended before it was received, and returns ctx's error. A lease
// that had failed before keeps its own error. cancel waits a moment until Redis has executed the
// release, so that a program may exit at once and leave nothing behind for others to wait for.
func (l *Lease) cancel(ctx context.Context) error {
	q := l.queue
	q.mu.Lock()
	var todo pendingCall
	cancelled := l.state == leaseWaiting || l.state == leaseHeld && (l.sink == nil || l.sink.Revoke())
	if cancelled {
		todo = l.endCancelled(ctx)
	}
	err := l.err
	if l.claim != nil && err == ErrLost { // after ctx had ended: that came first
		err = l.wrap(retry.CtxError(ctx), nil)
	}
	q.mu.Unlock()
	if todo.claim != nil {
		q.manager.Backlog.Briefly(func() { _ = q.run(todo) }, cancelTimeout(l.sink))
	}
	if cancelled && l.sink != nil {
		l.sink.Send(err)
	}
	return err
}

// cancelTimeout is how long a lease or MultiLease with that sink waits at most until Redis has
// confirmed that it was given up.
func cancelTimeout(sink result.Sink) time.Duration {
	if member, ok := sink.(memberSink); ok {
		sink = member.multi.sink
	}
	if sink == nil { // a call waits
		return retry.MaxCancelTimeout
	}
	return retry.MaxResultTimeout
}

// waitsForever reports whether only a reply can end the wait.
func (l *Lease) waitsForever() bool {
	if sink, ok := l.sink.(memberSink); ok { // whose own ctx ends with a loss too
		return sink.multi.ctx.Done() == nil
	}
	return l.caller.parent.Done() == nil
}

// endCancelled ends a lease for ctx. The queue is locked.
func (l *Lease) endCancelled(ctx context.Context) pendingCall {
	var last error
	if l.state == leaseWaiting {
		last = l.queue.lastErr
	}
	l.end(l.wrap(retry.CtxError(ctx), last))
	return l.queue.advance()
}

// readyChan returns a channel that is closed when the request is decided, nil if it is decided.
func (l *Lease) readyChan() <-chan struct{} {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	if l.state == leaseWaiting {
		l.ready = make(chan struct{})
	}
	return l.ready
}

// requestErr returns the error of a decided request, nil if it was granted.
func (l *Lease) requestErr() error {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	if l.claim == nil {
		return l.err
	}
	return nil
}

// grant delivers the granted lease. The queue's mutex is held, here and below.
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

// lose ends a granted lease that Redis no longer knows of. It reports whether the caller had the
// lease; if not, its channel yields the loss.
func (l *Lease) lose(cause string) (delivered bool) {
	l.queue.losses++
	revoked := l.sink != nil && l.sink.Revoke()
	if l.tracer != nil {
		cause = l.lossCause(cause, revoked)
	}
	l.end(ErrLost)
	l.tracer.Lost(cause)
	if revoked {
		l.sink.Send(l.wrap(ErrLost, nil))
	}
	return !revoked
}

// received reports whether the caller has the granted lease. A caller in Acquire has it at once. A
// channel may be read at any moment: only Revoke makes sure that it will not be.
func (l *Lease) received() bool { return l.sink == nil || l.sink.Received() }

// fail ends a lease that waits, and delivers the error.
func (l *Lease) fail(err error) {
	l.end(l.wrap(err, nil))
	l.signal(l.err)
}

// end ends the lease for the reason err, without delivering it.
func (l *Lease) end(err error) {
	if l.state == leaseWaiting {
		l.queue.waiters.remove(l)
	} else {
		c := l.claim
		c.hold.leases.remove(l)
		if c.linger != nil {
			c.linger.length = 0
			if err == ErrReleased {
				c.linger.length = l.linger()
			}
		}
		delete(c.contention.signals, l)
		c.hold.valueMissing = nil
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
