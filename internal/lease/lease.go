package lease

import (
	"context"
	"fmt"
	"time"
)

// Params says what a lease is to be.
type Params struct {
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

// opOf is what errors call a request.
func opOf(kind Kind, try, shared bool) string {
	op := "lock"
	if kind == Semaphore {
		op = "acquire"
	}
	if try {
		op = "try to " + op
	}
	if shared {
		op += " for reading"
	}
	return op
}

// A Lease is what one caller waits for and then holds, from request to release.
// It is the node of its queue, and is meant to stand inside the public type, so
// that one allocation serves for all.
type Lease struct {
	self         *Lease // so that a copy finds the lease itself, which is linked into lists; nil in the zero Lease
	label        string
	ttl, maxHold time.Duration
	weight, size int64
	tracer       *tracer // nil if there is no Trace
	caller       caller
	shared, try  bool
	forever      bool // its ctx never ends

	// Guarded by the mutex of line, which is set before the lease can be seen.
	state      leaseState
	late       bool // it joined while a request was under way, whose answer says nothing of it
	line       *line
	prev, next *Lease
	err        error         // once ended: why
	ready      chan struct{} // closed when granted or failed; nil if nobody waits for that in a call
	mail       Mail          // where the result goes; nil if ready is used
	unhook     func() bool   // ends the watch over the ctx of mail
	claim      *claim        // once granted
	since      moment        // when granted
	renewed    time.Duration // after since: when it was last found to be of use to somebody
	fence      int64
	done       chan struct{} // made when first asked for
	onLoss     map[*context.CancelCauseFunc]struct{}
}

// Acquire waits for the lease until ctx ends.
func (l *Lease) Acquire(ctx context.Context, k *Keeper, p *Params) error {
	if err := l.Request(ctx, k, p); err != nil {
		return err
	}
	return l.Await(ctx)
}

// Request is the first half of Acquire, for callers whose p is not to lie on the stack
// while they wait. If it fails there is nothing to await.
func (l *Lease) Request(ctx context.Context, k *Keeper, p *Params) error {
	if err := l.init(ctx, p); err != nil {
		l.tracer.done()
		return err
	}
	if c := k.join(ctx, Name{p.Kind, p.Key}, l); c != nil {
		l.line.askHere(ctx, c)
	}
	return nil
}

// Await is the second half of Acquire. The ctx is that of Request.
func (l *Lease) Await(ctx context.Context) (err error) {
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
		err = l.giveUp(ctx)
	} else {
		err = l.failure()
	}
	l.tracer.done()
	raise(err)
	return err
}

// AcquireChan is like Acquire, but returns at once and puts the result into mail.
func (l *Lease) AcquireChan(ctx context.Context, k *Keeper, p *Params, mail Mail) {
	if err := l.init(ctx, p); err != nil {
		mail.Put(err)
	} else {
		l.mail = mail
		k.join(ctx, Name{p.Kind, p.Key}, l)
	}
	l.tracer.done()
}

// init is to be followed by done of the tracer.
func (l *Lease) init(ctx context.Context, p *Params) (err error) {
	l.self, l.caller.parent = l, ctx
	l.label, l.ttl, l.maxHold = p.Label, p.TTL.Truncate(time.Millisecond), p.MaxHold
	l.weight, l.size, l.shared, l.try, l.forever = p.Weight, p.Size, p.Shared, p.Try, ctx.Done() == nil
	switch {
	case ctx.Err() != nil:
		err = p.wrap(ctxError(ctx))
	case p.TTL < MinTTL:
		err = p.wrap(Permanent(fmt.Errorf("TTL %v is shorter than %v", p.TTL, MinTTL)))
	case p.MaxHold < 0:
		err = p.wrap(Permanent(fmt.Errorf("MaxHold %v is negative", p.MaxHold)))
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
		todo = l.quit(ctx)
	}
	err := l.err
	if l.claim != nil && err == ErrLost { // after ctx had ended: that came first
		err = l.wrap(ctxError(ctx), nil)
	}
	ln.mu.Unlock()
	if todo.claim != nil {
		ln.keeper.backlog.awhile(func() { _ = ln.do(todo) })
	}
	if mine && l.mail != nil {
		l.mail.Put(err)
	}
	return err
}

// endless reports whether nothing but an answer ends the wait.
func (l *Lease) endless() bool {
	if m, ok := l.mail.(member); ok { // whose own ctx ends with a loss too
		return m.group.ctx.Done() == nil
	}
	return l.forever
}

// quit ends a lease for ctx. The line is locked.
func (l *Lease) quit(ctx context.Context) errand {
	var last error
	if l.state == waiting {
		last = l.line.redis
	}
	l.finish(l.wrap(ctxError(ctx), last))
	return l.line.advance()
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

// expire notices that the window has passed, should the clock be late.
func (l *Lease) expire(now time.Time) {
	if l.state == granted && l.claim.trust.left(now) <= 0 {
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
	l.expire(time.Now())
	return l.err
}

// Done returns a channel that is closed when the hold ends.
func (l *Lease) Done() <-chan struct{} {
	l = l.itself()
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.expire(time.Now())
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
	now := time.Now()
	if l.expire(now); l.state != granted {
		return 0
	}
	return l.claim.trust.left(now)
}

// Losses stands for the losses of leases of one key in this process.
type Losses struct {
	line *line
	n    int
}

// Losses returns what stands for the losses up to now: as long as a later call, of any
// lease of the key, returns the same, no lease has been lost in between.
func (l *Lease) Losses() Losses {
	l = l.itself()
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.expire(time.Now())
	return Losses{l.line, l.line.losses}
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
	l.expire(time.Now())
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
