package redistest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A Record has a Trace that writes down its events in a bubble. E is the Event of a public package.
type Record[E ~trace.Fields] struct {
	mu     sync.Mutex
	lines  []string
	waited time.Duration
	held   time.Duration
	renews int
}

// Trace returns the hooks. The lines are as "2 acquired immediate", where the number is that of
// permits, if it is not 1.
func (r *Record[E]) Trace() *trace.Hooks[E] {
	return trace.All(func(_ context.Context, e E) { r.add(trace.Event(e)) })
}

func (r *Record[E]) add(e trace.Event) {
	var what any
	switch e.Hook {
	case trace.Waiting:
		what = ""
	case trace.Acquired:
		what = e.Path
		r.with(func() { r.waited = e.Wait })
	case trace.Failed, trace.Released:
		what = e.Err
	case trace.Lost:
		what = e.Cause
	case trace.Renewed:
		r.with(func() { r.renews++ })
		return
	case trace.RedisError:
		what, e.Hook = e.Op, "error"
	}
	if e.Held != 0 {
		r.with(func() { r.held = e.Held })
	}
	line := strings.TrimSpace(fmt.Sprintf("%s %v", e.Hook, what))
	if e.Weight != 1 {
		line = fmt.Sprintf("%d %s", e.Weight, line)
	}
	if e.Key == "" || e.At.IsZero() {
		line += fmt.Sprintf(" of %+v", e)
	}
	r.with(func() { r.lines = append(r.lines, line) })
}

func (r *Record[E]) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// Now returns what has been told by now, but for renewals.
func (r *Record[E]) Now() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Take returns what has been told when nothing goes on any more, but for renewals, and
// forgets it.
func (r *Record[E]) Take() (lines []string) {
	synctest.Wait()
	r.with(func() { lines, r.lines = r.lines, nil })
	return lines
}

// CheckTake checks Told, in which the repetitions of a line count once.
func (r *Record[E]) CheckTake(tb testing.TB, what string, want ...string) {
	tb.Helper()
	if got := slices.Compact(r.Take()); !slices.Equal(got, want) {
		tb.Errorf("%s: it tells %q, want %q", what, got, want)
	}
}

// Waited is what it was told of the last who got it.
func (r *Record[E]) Waited() (d time.Duration) {
	r.with(func() { d = r.waited })
	return d
}

// Held is what it was told of the last who had it.
func (r *Record[E]) Held() (d time.Duration) {
	r.with(func() { d = r.held })
	return d
}

// Renewals is how many it was told of.
func (r *Record[E]) Renewals() (n int) {
	r.with(func() { n = r.renews })
	return n
}
