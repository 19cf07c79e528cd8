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

// An audit has a Trace that checks what it is told: each request has an end and each
// hold, everything comes in its order, once, and one after the other.
type audit struct {
	t     testing.TB
	aside bool // errors come at any time: of what was asked for otherwise before

	mu      sync.Mutex
	stories []*story
}

// A story is what was told of the requests under one ctx.
type story struct {
	name string
	keys map[string]*tale
}

// A tale is what was told of one key.
type tale struct {
	events  []string
	last    string // the hook of the last event, except renewals and errors
	running bool
	hold    trace.Event // Acquired
	at      time.Time
}

type storyKey struct{}

// begin returns the ctx of a new story.
func (a *audit) begin(ctx context.Context, name string) (context.Context, *story) {
	s := &story{name, map[string]*tale{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stories = append(a.stories, s)
	return context.WithValue(ctx, storyKey{}, s), s
}

// follows lists after what an event may come. A group may ask for a key again.
var follows = map[string][]string{
	"waiting":  {"", "failed", "lost", "released"},
	"acquired": {"", "failed", "lost", "released", "waiting"},
	"failed":   {"", "failed", "lost", "released", "waiting"},
	"renewed":  {"acquired"},
	"lost":     {"acquired"},
	"released": {"acquired"},
}

// hear checks an event, and gives others of its story the time to come too early.
func (a *audit) hear(ctx context.Context, e trace.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := ctx.Value(storyKey{}).(*story)
	if !ok {
		a.t.Errorf("%s is told under a ctx that is not the request's", e.Hook)
		return
	}
	t := s.keys[e.Key]
	if t == nil {
		t = new(tale)
		s.keys[e.Key] = t
	}
	t.events = append(t.events, e.Hook)
	overlaps := t.running
	aside := e.Hook == trace.RedisError && a.aside
	if !aside {
		t.running = true
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
		t.running = false
	}
	held := e.Hook == trace.Acquired || t.last == trace.Acquired
	switch {
	case overlaps && !aside:
		a.t.Errorf("%s: two are told at a time: %v", s.name, t.events)
	case e.Hook == trace.RedisError:
	case !slices.Contains(follows[e.Hook], t.last):
		a.t.Errorf("%s: out of order: %v", s.name, t.events)
	case e.At.Before(t.at):
		a.t.Errorf("%s: %v before what was told before: %v", s.name, t.at.Sub(e.At), t.events)
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

// wrong reports whether the fields of an event do not fit the events before.
func (t *tale) wrong(e trace.Event) bool {
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
func (a *audit) trace() trace.Trace { return trace.All(a.hear) }

// over reports whether all of a story has ended, and what was told.
func (a *audit) over(s *story) (over bool, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	over = true
	for key, t := range s.keys {
		over = over && slices.Contains([]string{"", "failed", "lost", "released"}, t.last)
		what += fmt.Sprintf(" %s: %v", key, t.events)
	}
	return over, what
}

// check checks that all stories are over.
func (a *audit) check() {
	for _, s := range a.stories {
		if over, what := a.over(s); !over {
			a.t.Errorf("%s has no end:%s", s.name, what)
		}
	}
}
