package lease

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// An audit checks the events of a Trace. Each request and each hold must end. Events must arrive in
// order, once, and one at a time.
type audit struct {
	t            testing.TB
	errorsAnyway bool // errors may arrive at any time, from earlier requests

	mu        sync.Mutex
	timelines []*timeline
}

// A timeline has the events of the requests under one ctx.
type timeline struct {
	name string
	keys map[string]*keyTimeline
}

// A keyTimeline has the events of one key.
type keyTimeline struct {
	events  []string
	last    string // the hook of the last event, except renewals and errors
	running bool
	hold    trace.Event // Acquired
	at      time.Time
}

type timelineKey struct{}

// begin returns the ctx of a new timeline.
func (a *audit) begin(ctx context.Context, name string) (context.Context, *timeline) {
	s := &timeline{name, map[string]*keyTimeline{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timelines = append(a.timelines, s)
	return context.WithValue(ctx, timelineKey{}, s), s
}

// follows lists the events that may precede an event. A MultiLease may request a key again.
var follows = map[string][]string{
	"waiting":  {"", "failed", "lost", "released"},
	"acquired": {"", "failed", "lost", "released", "waiting"},
	"failed":   {"", "failed", "lost", "released", "waiting"},
	"renewed":  {"acquired"},
	"lost":     {"acquired"},
	"released": {"acquired"},
}

// handle checks an event. It yields, so that other events of the key can arrive too early.
func (a *audit) handle(ctx context.Context, e trace.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := ctx.Value(timelineKey{}).(*timeline)
	if !ok {
		a.t.Errorf("the ctx of %s is not that of the request", e.Hook)
		return
	}
	t := s.keys[e.Key]
	if t == nil {
		t = new(keyTimeline)
		s.keys[e.Key] = t
	}
	t.events = append(t.events, e.Hook)
	overlaps := t.running
	concurrent := e.Hook == trace.RedisError && a.errorsAnyway
	if !concurrent {
		t.running = true
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
		t.running = false
	}
	held := e.Hook == trace.Acquired || t.last == trace.Acquired
	switch {
	case overlaps && !concurrent:
		a.t.Errorf("%s: two events at the same time: %v", s.name, t.events)
	case e.Hook == trace.RedisError:
	case !slices.Contains(follows[e.Hook], t.last):
		a.t.Errorf("%s: out of order: %v", s.name, t.events)
	case e.At.Before(t.at):
		a.t.Errorf("%s: the last event is %v older than the one before: %v", s.name, t.at.Sub(e.At), t.events)
	case held != (e.Fence != 0), held && e.Hook != trace.Acquired && e.Fence != t.hold.Fence:
		a.t.Errorf("%s: the fence is %d after %d: %v", s.name, e.Fence, t.hold.Fence, t.events)
	}
	if t.wrong(e) {
		a.t.Errorf("%s: %s with wrong times: %v", s.name, e.Hook, t.events)
	}
	switch e.Hook {
	case trace.RedisError:
	case trace.Renewed:
		t.at = e.At
	default:
		t.at, t.last = e.At, e.Hook
		if e.Hook == trace.Acquired {
			t.hold = e
		}
	}
}

// wrong reports whether the fields of an event contradict the earlier events.
func (t *keyTimeline) wrong(e trace.Event) bool {
	waits := t.last == trace.Waiting
	switch e.Hook {
	case trace.Acquired:
		return e.Wait < 0 || e.Waited != waits || e.Path == trace.Immediate && waits || (e.Path == trace.Polled || e.Path == trace.Notified) && !waits
	case trace.Failed:
		return e.Wait < 0 || e.Waited != waits || e.Err == nil
	case trace.Renewed:
		return e.Latency < 0
	case trace.Lost, trace.Released:
		return e.Held != e.At.Sub(t.hold.At)
	case trace.RedisError:
		return e.Err == nil || e.Op == "" || e.At.IsZero()
	}
	return false
}

// trace returns the Trace of the audit.
func (a *audit) trace() trace.Trace { return trace.All(a.handle) }

// ended reports whether all requests of a timeline have ended, and describes its events.
func (a *audit) ended(s *timeline) (ended bool, events string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended = true
	for key, t := range s.keys {
		ended = ended && slices.Contains([]string{"", "failed", "lost", "released"}, t.last)
		events += fmt.Sprintf(" %s: %v", key, t.events)
	}
	return ended, events
}

// check checks that all timelines have ended.
func (a *audit) check() {
	for _, s := range a.timelines {
		if ended, events := a.ended(s); !ended {
			a.t.Errorf("%s has no end:%s", s.name, events)
		}
	}
}
