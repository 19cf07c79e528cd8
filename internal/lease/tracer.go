package lease

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A tracer tells a Trace of one lease, or of one task. A nil tracer tells nobody, and
// costs nothing.
type tracer struct {
	trace *Trace
	ctx   context.Context
	wake  chan struct{} // for a call that delivers while it waits

	// Guarded by the mutex of the queue, or of the task.
	event                  Event
	requestedAt, grantedAt time.Time // when it was asked for, and granted
	endedAt                time.Time // when the hold ended here
	waitReported           bool      // which has been told
	cause                  LossCause // of the loss

	mu       sync.Mutex // taken after all others, and not held while a function runs
	queue    []func()
	flushing bool // somebody delivers, and will look again: who adds to the queue need not
}

// newTracer returns the tracer of a request. Its caller is busy with it until done.
func newTracer(ctx context.Context, p *Params) *tracer {
	if p.Trace == nil {
		return nil
	}
	e := Event{Key: p.Key, Weight: 1, Shared: p.Shared}
	if p.Kind == Semaphore {
		e.Weight = p.Weight
	}
	return &tracer{trace: p.Trace, ctx: ctx, wake: make(chan struct{}, 1), event: e, requestedAt: time.Now(), flushing: true}
}

// emit has the function called after those of earlier events. If nobody is busy with
// that a goroutine is begun: neither what is locked here nor what goes on here is to
// wait for it.
func emit[Info any](t *tracer, f func(context.Context, Info), info Info) {
	if f == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, func() { f(t.ctx, info) })
	if !t.flushing {
		t.flushing = true
		go t.flush()
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// tryOwn makes the caller busy, unless somebody is.
func (t *tracer) tryOwn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	owned := !t.flushing
	t.flushing = true
	return owned
}

// flush calls what there is to call, until there is nothing.
func (t *tracer) flush() {
	if t == nil {
		return
	}
	for f := t.pop(true); f != nil; f = t.pop(true) {
		f()
	}
}

// flushUntil calls what there is to call, until the request is decided or ctx ends.
func (t *tracer) flushUntil(ctx context.Context, decided <-chan struct{}) {
	for {
		for f := t.pop(false); f != nil; f = t.pop(false) {
			f()
		}
		select {
		case <-decided:
			return
		case <-ctx.Done():
			return
		case <-t.wake:
		}
	}
}

// pop takes the next function to call from the queue. If there is none, and it is to
// be the last, nobody is busy any more.
func (t *tracer) pop(last bool) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.flushing = !last
		return nil
	}
	f := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
	return f
}

// eventAt is what all are told of something that happened at the time.
func (t *tracer) eventAt(now time.Time) Event {
	e := t.event
	e.At = now
	return e
}

// waiting tells, once, that the request has to wait.
func (t *tracer) waiting() {
	if t != nil && !t.waitReported {
		t.waitingSince(time.Now())
	}
}

func (t *tracer) waitingSince(at time.Time) {
	t.waitReported = true
	emit(t, t.trace.Waiting, WaitingInfo{t.eventAt(at)})
}

func (t *tracer) acquired(at time.Time, fence int64, path GrantPath) {
	if !t.waitReported && (path == Notified || path == Polled) { // its first request is still under way
		t.waitingSince(at)
	}
	t.grantedAt, t.event.Fence = at, fence
	emit(t, t.trace.Acquired, AcquiredInfo{t.eventAt(at), at.Sub(t.requestedAt), t.waitReported, path})
}

func (t *tracer) failed(err error) {
	now := time.Now()
	emit(t, t.trace.Failed, FailedInfo{t.eventAt(now), now.Sub(t.requestedAt), t.waitReported, err})
}

func (t *tracer) lost(cause LossCause) {
	emit(t, t.trace.Lost, LostInfo{t.eventAt(t.endedAt), t.endedAt.Sub(t.grantedAt), cause})
}

// released tells of a release that has returned err.
func (t *tracer) released(err error) {
	if t == nil {
		return
	}
	owned := t.tryOwn() // so that it is told before the release returns
	if err == ErrLost {
		t.lost(KeyMissing)
	} else {
		emit(t, t.trace.Released, ReleasedInfo{t.eventAt(t.endedAt), t.endedAt.Sub(t.grantedAt), err})
	}
	if owned {
		t.flush()
	}
}

func (t *tracer) renewed(sent time.Time) {
	now := time.Now()
	emit(t, t.trace.Renewed, RenewedInfo{t.eventAt(now), now.Sub(sent)})
}

// redisError tells of what an attempt has failed with, if it has. A size error is an answer.
func (t *tracer) redisError(op string, err error) {
	if t != nil && err != nil && !isSizeError(err) {
		emit(t, t.trace.RedisError, RedisErrorInfo{t.eventAt(time.Now()), op, err})
	}
}
