package lease

import (
	"context"
	"errors"
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

	// Guarded by the mutex of the line, or of the task.
	event        Event
	asked, since time.Time // when it was asked for, and granted
	until        time.Time // when the hold ended here
	waits        bool      // which has been told
	cause        Cause     // of the loss

	mu    sync.Mutex // taken after all others, and not held while a function runs
	queue []func()
	busy  bool // somebody delivers, and will look again: who adds to the queue need not
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
	return &tracer{trace: p.Trace, ctx: ctx, wake: make(chan struct{}, 1), event: e, asked: time.Now(), busy: true}
}

// tell has the function called after those of earlier events. If nobody is busy with
// that a goroutine is begun: neither what is locked here nor what goes on here is to
// wait for it.
func tell[Info any](t *tracer, f func(context.Context, Info), info Info) {
	if f == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, func() { f(t.ctx, info) })
	if !t.busy {
		t.busy = true
		go t.done()
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// own makes the caller busy, unless somebody is.
func (t *tracer) own() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := !t.busy
	t.busy = true
	return mine
}

// done calls what there is to call, until there is nothing.
func (t *tracer) done() {
	if t == nil {
		return
	}
	for f := t.next(true); f != nil; f = t.next(true) {
		f()
	}
}

// attend calls what there is to call, until the request is decided or ctx ends.
func (t *tracer) attend(ctx context.Context, decided <-chan struct{}) {
	for {
		for f := t.next(false); f != nil; f = t.next(false) {
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

// next takes the next function to call from the queue. If there is none, and it is to
// be the last, nobody is busy any more.
func (t *tracer) next(last bool) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.busy = !last
		return nil
	}
	f := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
	return f
}

// at is what all are told of something that happened at the time.
func (t *tracer) at(now time.Time) Event {
	e := t.event
	e.At = now
	return e
}

// waiting tells, once, that the request has to wait.
func (t *tracer) waiting() {
	if t != nil && !t.waits {
		t.waitingSince(time.Now())
	}
}

func (t *tracer) waitingSince(at time.Time) {
	t.waits = true
	tell(t, t.trace.Waiting, WaitingInfo{t.at(at)})
}

func (t *tracer) acquired(at time.Time, fence int64, how How) {
	if !t.waits && (how == ByMessage || how == ByPoll) { // its first request is still under way
		t.waitingSince(at)
	}
	t.since, t.event.Fence = at, fence
	tell(t, t.trace.Acquired, AcquiredInfo{t.at(at), at.Sub(t.asked), t.waits, how})
}

func (t *tracer) failed(err error) {
	now := time.Now()
	tell(t, t.trace.Failed, FailedInfo{t.at(now), now.Sub(t.asked), t.waits, err})
}

func (t *tracer) lost(cause Cause) {
	tell(t, t.trace.Lost, LostInfo{t.at(t.until), t.until.Sub(t.since), cause})
}

// released tells of a release that has returned err.
func (t *tracer) released(err error) {
	if t == nil {
		return
	}
	mine := t.own() // so that it is told before the release returns
	if err == ErrLost {
		t.lost(Gone)
	} else {
		tell(t, t.trace.Released, ReleasedInfo{t.at(t.until), t.until.Sub(t.since), err})
	}
	if mine {
		t.done()
	}
}

func (t *tracer) renewed(sent time.Time) {
	now := time.Now()
	tell(t, t.trace.Renewed, RenewedInfo{t.at(now), now.Sub(sent)})
}

// redisError tells of what an attempt has failed with, if it has. ErrSize is an answer.
func (t *tracer) redisError(op string, err error) {
	if t != nil && err != nil && !errors.Is(err, ErrSize) {
		tell(t, t.trace.RedisError, RedisErrorInfo{t.at(time.Now()), op, err})
	}
}
