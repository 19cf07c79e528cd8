package trace

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Tracer sends the events of one request, and of its hold, to a Trace. The methods of a nil Tracer
// do nothing.
type Tracer struct {
	trace Trace
	ctx   context.Context
	wake  chan struct{} // for a call that delivers while it waits

	// Guarded by the caller: the methods that send events must not run at the same time, except
	// RedisError.
	event                  Event     // what all events have in common
	requestedAt, grantedAt time.Time // when it was asked for, and granted
	endedAt                time.Time // when the hold ended here
	waited                 bool      // Waiting was sent

	mu       sync.Mutex // taken after all others, and not held while a hook runs
	queue    []Event
	flushing bool // a goroutine delivers, and will look at the queue again
}

// New returns the Tracer of a request, whose events have the fields of e. It returns nil if t is nil.
// Hooks do not run until the caller calls Flush or FlushUntil.
func New(ctx context.Context, t Trace, e Event) *Tracer {
	if t == nil {
		return nil
	}
	return &Tracer{trace: t, ctx: ctx, wake: make(chan struct{}, 1), event: e, requestedAt: time.Now(), flushing: true}
}

// emit queues an event. If nothing delivers it starts a goroutine: a hook must not delay the engine.
func (t *Tracer) emit(e Event) {
	if !t.trace.Has(e.Hook) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, e)
	if !t.flushing {
		t.flushing = true
		go t.Flush()
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// tryOwn makes the caller deliver, unless another goroutine does.
func (t *Tracer) tryOwn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	owned := !t.flushing
	t.flushing = true
	return owned
}

// Flush runs the hooks of all queued events.
func (t *Tracer) Flush() {
	if t == nil {
		return
	}
	for e, ok := t.pop(true); ok; e, ok = t.pop(true) {
		t.trace.Call(t.ctx, e)
	}
}

// FlushUntil runs hooks until the request is decided or ctx is done.
func (t *Tracer) FlushUntil(ctx context.Context, decided <-chan struct{}) {
	for {
		for e, ok := t.pop(false); ok; e, ok = t.pop(false) {
			t.trace.Call(t.ctx, e)
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

// pop takes the next event from the queue. If there is none, and the caller stops delivering, nothing
// delivers any more.
func (t *Tracer) pop(stops bool) (Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.flushing = !stops
		return Event{}, false
	}
	e := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
	return e, true
}

// at returns an event of hook.
func (t *Tracer) at(now time.Time, hook string) Event {
	e := t.event
	e.At, e.Hook = now, hook
	return e
}

// decided returns an event that ends the request.
func (t *Tracer) decided(now time.Time, hook string) Event {
	e := t.at(now, hook)
	e.Wait, e.Waited = now.Sub(t.requestedAt), t.waited
	return e
}

// ended returns an event that ends the hold.
func (t *Tracer) ended(hook string) Event {
	e := t.at(t.endedAt, hook)
	e.Held = t.endedAt.Sub(t.grantedAt)
	return e
}

// Waited reports whether Waiting was sent.
func (t *Tracer) Waited() bool { return t.waited }

// Waiting sends, once, that the request must wait.
func (t *Tracer) Waiting() {
	if t != nil && !t.waited {
		t.waitingSince(time.Now())
	}
}

func (t *Tracer) waitingSince(now time.Time) {
	t.waited = true
	t.emit(t.at(now, Waiting))
}

// Acquired sends that the request was granted.
func (t *Tracer) Acquired(now time.Time, fence int64, path string) {
	if t == nil {
		return
	}
	if !t.waited && (path == Notified || path == Polled) { // its first request is still under way
		t.waitingSince(now)
	}
	t.grantedAt, t.event.Fence = now, fence
	e := t.decided(now, Acquired)
	e.Path = path
	t.emit(e)
}

// Failed sends that the request failed with err.
func (t *Tracer) Failed(err error) {
	if t == nil {
		return
	}
	e := t.decided(time.Now(), Failed)
	e.Err = err
	t.emit(e)
}

// End sets the end of the hold to now, for Lost and Released.
func (t *Tracer) End() {
	if t != nil {
		t.endedAt = time.Now()
	}
}

// Lost sends that the hold was lost.
func (t *Tracer) Lost(cause string) {
	if t == nil {
		return
	}
	e := t.ended(Lost)
	e.Cause = cause
	t.emit(e)
}

// GivenBack sends Released for a hold that nobody received.
func (t *Tracer) GivenBack() {
	if t != nil {
		t.emit(t.ended(Released))
	}
}

// Released sends that a release returns err, or that it found the hold lost. Unless another goroutine
// delivers, the hook runs before Released returns.
func (t *Tracer) Released(err error, lost bool) {
	if t == nil {
		return
	}
	owned := t.tryOwn()
	if lost {
		t.Lost(KeyMissing)
	} else {
		e := t.ended(Released)
		e.Err = err
		t.emit(e)
	}
	if owned {
		t.Flush()
	}
}

// Renewed sends that the hold was renewed.
func (t *Tracer) Renewed(sent time.Time) {
	if t == nil {
		return
	}
	now := time.Now()
	e := t.at(now, Renewed)
	e.Latency = now.Sub(sent)
	t.emit(e)
}

// RedisError sends that a request to Redis failed, unless err is nil.
func (t *Tracer) RedisError(op string, err error) {
	if t == nil || err == nil {
		return
	}
	e := t.at(time.Now(), RedisError)
	e.Op, e.Err = op, err
	t.emit(e)
}

// A Seen holds the Traces that an event of several Tracers was sent to.
type Seen []Trace

// Add adds the Trace of t, and reports whether it was new.
func (s *Seen) Add(t *Tracer) bool {
	if t == nil || slices.Contains(*s, t.trace) {
		return false
	}
	*s = append(*s, t.trace)
	return true
}
