package lease

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// An audit has a Trace that checks what it is told: each request has an end and each
// hold, everything comes in its order, once, and one after the other.
type audit struct {
	t     testing.TB
	tasks bool // of a wait group, which have no fences
	aside bool // errors come at any time: of what was asked for otherwise before, or of no task

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
	events   []string
	last     string // but for renewals and errors
	running  bool
	hold     AcquiredInfo
	at       time.Time
	released []ReleasedInfo
	failed   []FailedInfo
	lost     []LostInfo
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
func (a *audit) hear(ctx context.Context, what string, e Event, also func(t *tale) (wrong bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := ctx.Value(storyKey{}).(*story)
	if !ok {
		a.t.Errorf("%s is told under a ctx that is not the request's", what)
		return
	}
	t := s.keys[e.Key]
	if t == nil {
		t = new(tale)
		s.keys[e.Key] = t
	}
	t.events = append(t.events, what)
	overlaps := t.running
	aside := what == "error" && a.aside
	if !aside {
		t.running = true
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
		t.running = false
	}
	held := !a.tasks && (what == "acquired" || t.last == "acquired")
	switch {
	case overlaps && !aside:
		a.t.Errorf("%s: two are told at a time: %v", s.name, t.events)
	case what == "error":
	case !slices.Contains(follows[what], t.last):
		a.t.Errorf("%s: out of order: %v", s.name, t.events)
	case e.At.Before(t.at):
		a.t.Errorf("%s: %v before what was told before: %v", s.name, t.at.Sub(e.At), t.events)
	case held != (e.Fence != 0), held && what != "acquired" && e.Fence != t.hold.Fence:
		a.t.Errorf("%s: the fence is %d after %d: %v", s.name, e.Fence, t.hold.Fence, t.events)
	}
	if also(t) {
		a.t.Errorf("%s: %s with wrong times: %v", s.name, what, t.events)
	}
	if what != "error" {
		t.at = e.At
		if what != "renewed" {
			t.last = what
		}
	}
}

// trace returns what the audit hears by.
func (a *audit) trace() *Trace {
	return &Trace{
		Waiting: func(ctx context.Context, i WaitingInfo) {
			a.hear(ctx, "waiting", i.Event, func(*tale) bool { return false })
		},
		Acquired: func(ctx context.Context, i AcquiredInfo) {
			a.hear(ctx, "acquired", i.Event, func(t *tale) bool {
				t.hold = i
				waits := t.last == "waiting"
				return i.WaitTime < 0 || i.Waited != waits || i.Path == Immediate && waits || (i.Path == Polled || i.Path == Notified) && !waits
			})
		},
		Failed: func(ctx context.Context, i FailedInfo) {
			a.hear(ctx, "failed", i.Event, func(t *tale) bool {
				t.failed = append(t.failed, i)
				return i.WaitTime < 0 || i.Waited != (t.last == "waiting") || i.Err == nil
			})
		},
		Renewed: func(ctx context.Context, i RenewedInfo) {
			a.hear(ctx, "renewed", i.Event, func(*tale) bool { return i.Latency < 0 })
		},
		Lost: func(ctx context.Context, i LostInfo) {
			a.hear(ctx, "lost", i.Event, func(t *tale) bool {
				t.lost = append(t.lost, i)
				return i.Held != i.At.Sub(t.hold.At)
			})
		},
		Released: func(ctx context.Context, i ReleasedInfo) {
			a.hear(ctx, "released", i.Event, func(t *tale) bool {
				t.released = append(t.released, i)
				return i.Held != i.At.Sub(t.hold.At)
			})
		},
		RedisError: func(ctx context.Context, i RedisErrorInfo) {
			a.hear(ctx, "error", i.Event, func(*tale) bool { return i.Err == nil || i.Op == "" || i.At.IsZero() })
		},
	}
}

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
