package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Params says what a lease is to be.
type Params struct {
	Op      string // the caller's word for it, for errors
	Kind    Kind
	Key     string
	Label   string // for the token, of who asks first in a process
	TTL     time.Duration
	MaxHold time.Duration // 0: renewed until released
	Weight  int64
	Size    int64 // of a semaphore
	Shared  bool  // all leases of a process that are shared are one in Redis
	Try     bool  // fail with ErrLocked rather than wait
	Trace   *Trace
}

type leaseState uint8

const (
	waiting leaseState = iota
	granted
	ended
)

// A Lease is what one caller waits for and then holds, from request to release.
// It is the node of its queue, and is meant to stand inside the public type, so
// that one allocation serves for all.
type Lease struct {
	self         *Lease // so that a copy finds the lease itself, which is linked into lists; nil in the zero Lease
	op, label    string
	name         Name
	ttl, maxHold time.Duration
	weight, size int64
	shared, try  bool
	tracer       *tracer // nil if there is no Trace

	// Guarded by the mutex of line, which is set before the lease can be seen.
	line       *line
	prev, next *Lease
	state      leaseState
	err        error         // once ended: why
	ready      chan struct{} // closed when granted or failed; nil if nobody waits for that in a call
	mail       Mail          // where the result goes; nil if ready is used
	unhook     func() bool   // ends the watch over the ctx of mail
	claim      *claim        // once granted
	since      time.Time     // when granted
	renewed    time.Duration // after since: when it was last found to be of use to somebody
	fence      int64
	done       chan struct{} // made when first asked for
	onLoss     map[*context.CancelCauseFunc]struct{}
}

// Acquire waits for the lease until ctx ends.
func (l *Lease) Acquire(ctx context.Context, k *Keeper, p Params) error {
	err := l.init(ctx, &p)
	if err == nil {
		err = l.acquire(ctx, k)
	}
	l.tracer.done()
	return err
}

func (l *Lease) acquire(ctx context.Context, k *Keeper) error {
	if c := k.join(ctx, l); c != nil {
		l.line.askHere(c)
	}
	switch ready := l.wait(); {
	case ready == nil:
	case l.tracer != nil:
		l.tracer.attend(ctx, ready)
	default:
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return l.giveUp(ctx)
	}
	return l.failure()
}

// AcquireChan is like Acquire, but returns at once and puts the result into mail.
func (l *Lease) AcquireChan(ctx context.Context, k *Keeper, p Params, mail Mail) {
	if err := l.init(ctx, &p); err != nil {
		mail.Put(err)
	} else {
		l.mail = mail
		k.join(ctx, l)
	}
	l.tracer.done()
}

// init is to be followed by done of the tracer.
func (l *Lease) init(ctx context.Context, p *Params) (err error) {
	l.self = l
	l.op, l.label, l.name, l.ttl, l.maxHold = p.Op, p.Label, Name{p.Kind, p.Key}, p.TTL.Truncate(time.Millisecond), p.MaxHold
	l.weight, l.size, l.shared, l.try = p.Weight, p.Size, p.Shared, p.Try
	switch {
	case ctx.Err() != nil:
		err = l.wrap(ctxError(ctx), nil)
	case p.TTL < MinTTL:
		err = l.wrap(Permanent(fmt.Errorf("TTL %v is shorter than %v", p.TTL, MinTTL)), nil)
	case p.MaxHold < 0:
		err = l.wrap(Permanent(fmt.Errorf("MaxHold %v is negative", p.MaxHold)), nil)
	}
	if l.tracer = newTracer(ctx, p); l.tracer != nil && err != nil {
		l.tracer.failed(err)
	}
	return err
}

// giveUp ends a lease whose ctx has ended before it was received, and returns
// ctx's error; one that had failed already keeps its own. It waits a moment for
// Redis to hear of it, so that a program may exit at once thereafter and leave
// nothing behind for others to wait for.
func (l *Lease) giveUp(ctx context.Context) error {
	ln := l.line
	ln.mu.Lock()
	var todo errand
	mine := l.state == waiting || l.state == granted && (l.mail == nil || l.mail.TakeBack())
	if mine {
		var last error
		if c := ln.claim; c != nil && l.state == waiting {
			last = c.redis
		}
		l.finish(l.wrap(ctxError(ctx), last))
		todo = ln.advance()
	}
	err := l.err
	if l.claim != nil && err == ErrLost { // after ctx had ended: that came first
		err = l.wrap(ctxError(ctx), nil)
	}
	ln.mu.Unlock()
	if todo.claim != nil {
		told := make(chan struct{})
		go func() {
			_ = ln.do(todo)
			close(told)
		}()
		timer := time.NewTimer(courtesy)
		select {
		case <-told:
		case <-timer.C:
		}
		timer.Stop()
	}
	if mine && l.mail != nil {
		l.mail.Put(err)
	}
	return err
}

// wait returns what is closed when the request is decided, nil if it is.
func (l *Lease) wait() <-chan struct{} {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	if l.state == waiting {
		l.ready = make(chan struct{})
	}
	return l.ready
}

// failure is what a decided request failed with, nil if it was granted.
func (l *Lease) failure() error {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	if l.claim == nil {
		return l.err
	}
	return nil
}

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
	return l.told(whole, l.line.do(todo))
}

// let ends the hold here, the whole of it or a part, and returns what is to be done
// for that in Redis.
func (l *Lease) let(n int64) (todo errand, whole bool, err error) {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	if l.expire(); l.state == ended {
		return errand{}, false, l.err
	}
	l.part(n)
	whole = l.state == ended
	return l.line.advance(), whole, nil
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
			if l.expire(); l.state != ended {
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
		err = &opError{"release", l.name.Key, err, nil}
	}
	if whole {
		l.tracer.released(err)
	}
	return err
}

// expire notices that the window has passed, should the clock be late.
func (l *Lease) expire() {
	if l.state == granted && l.claim.trust.left(time.Now()) <= 0 {
		l.line.later(l.line.lose(l.claim, Unrenewed))
	}
}

// never is what the zero Lease stands for: a hold that has been lost.
var never = &Lease{line: new(line), state: ended, err: ErrLost}

// itself returns the lease that l is, or is a copy of.
func (l *Lease) itself() *Lease {
	if l.self == nil {
		return never
	}
	return l.self
}

// Err returns nil while the lease is held, and why it ended thereafter.
func (l *Lease) Err() error {
	l = l.itself()
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.expire()
	return l.err
}

// Done returns a channel that is closed when the hold ends.
func (l *Lease) Done() <-chan struct{} {
	l = l.itself()
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.expire()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.state == ended {
			close(l.done)
		}
	}
	return l.done
}

// Left is for how long the lease is held even if no renewal succeeds any more.
func (l *Lease) Left() time.Duration {
	l = l.itself()
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	if l.expire(); l.state != granted {
		return 0
	}
	return l.claim.trust.left(time.Now())
}

// Fence returns the fencing number of the hold.
func (l *Lease) Fence() int64 { return l.fence }

// Context returns a copy of parent that is cancelled, with the cause ErrLost,
// when the hold is lost.
func (l *Lease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	l = l.itself()
	ctx, cancel := context.WithCancelCause(parent)
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.expire()
	if l.state == ended {
		if l.err == ErrLost {
			cancel(ErrLost)
		}
		return ctx, func() { cancel(nil) }
	}
	if l.onLoss == nil {
		l.onLoss = make(map[*context.CancelCauseFunc]struct{})
	}
	l.onLoss[&cancel] = struct{}{}
	return ctx, func() {
		cancel(nil)
		l.line.mu.Lock()
		defer l.line.mu.Unlock()
		delete(l.onLoss, &cancel)
	}
}

// deliver hands the granted lease over. The line's mutex is held, here and below.
func (l *Lease) deliver() {
	l.state = granted
	if l.tracer != nil {
		l.tracer.acquired(l.since, l.fence, l.claim.howHad(l))
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
