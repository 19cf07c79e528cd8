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

// A Record records the events of a Trace in a bubble. E is the Event of a public package.
type Record[E ~trace.Fields] struct {
	mu     sync.Mutex
	lines  []string
	waited time.Duration
	held   time.Duration
	renews int
}

// Trace returns the hooks. Each event makes a line such as "2 acquired immediate". The number is
// that of permits, if it is not 1.
func (r *Record[E]) Trace() *trace.Hooks[E] {
	return trace.All(func(_ context.Context, e E) { r.add(trace.Event(e)) })
}

func (r *Record[E]) add(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var what any = ""
	switch e.Hook {
	case trace.Acquired:
		what, r.waited = e.Path, e.Wait
	case trace.Failed, trace.Released:
		what = e.Err
	case trace.Lost:
		what = e.Cause
	case trace.Renewed:
		r.renews++
		return
	case trace.RedisError:
		what, e.Hook = e.Op, "error"
	}
	if e.Held != 0 {
		r.held = e.Held
	}
	line := strings.TrimSpace(fmt.Sprintf("%s %v", e.Hook, what))
	if e.Weight != 1 {
		line = fmt.Sprintf("%d %s", e.Weight, line)
	}
	if e.Key == "" || e.At.IsZero() {
		line += fmt.Sprintf(" of %+v", e)
	}
	r.lines = append(r.lines, line)
}

// Now returns the lines so far, without renewals.
func (r *Record[E]) Now() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Take returns and removes the lines, without renewals, once all goroutines of the bubble wait.
func (r *Record[E]) Take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// CheckTake checks the result of Take, without repeated lines.
func (r *Record[E]) CheckTake(tb testing.TB, what string, want ...string) {
	tb.Helper()
	if got := slices.Compact(r.Take()); !slices.Equal(got, want) {
		tb.Errorf("%s: events %q, want %q", what, got, want)
	}
}

// Waited returns the wait time of the last Acquired event.
func (r *Record[E]) Waited() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waited
}

// Held returns the hold time of the last event that has one.
func (r *Record[E]) Held() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// Renewals returns the number of Renewed events.
func (r *Record[E]) Renewals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.renews
}
