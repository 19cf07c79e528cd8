package redistest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// A Record has a Trace that writes down what it is told in a bubble.
type Record struct {
	mu     sync.Mutex
	lines  []string
	waited time.Duration
	held   time.Duration
	renews int
}

// Trace returns the Trace. The lines are as "2 acquired immediate", where 2 permits are
// meant and not one.
func (r *Record) Trace() *lease.Trace {
	return &lease.Trace{
		Waiting: func(_ context.Context, i lease.WaitingInfo) { r.add(i.Event, "waiting") },
		Acquired: func(_ context.Context, i lease.AcquiredInfo) {
			r.add(i.Event, "acquired %v", i.Path)
			r.with(func() { r.waited = i.WaitTime })
		},
		Failed:  func(_ context.Context, i lease.FailedInfo) { r.add(i.Event, "failed %v", i.Err) },
		Renewed: func(context.Context, lease.RenewedInfo) { r.with(func() { r.renews++ }) },
		Lost: func(_ context.Context, i lease.LostInfo) {
			r.add(i.Event, "lost %v", i.Cause)
			r.with(func() { r.held = i.Held })
		},
		Released: func(_ context.Context, i lease.ReleasedInfo) {
			r.add(i.Event, "released %v", i.Err)
			r.with(func() { r.held = i.Held })
		},
		RedisError: func(_ context.Context, i lease.RedisErrorInfo) { r.add(i.Event, "error %s", i.Op) },
	}
}

func (r *Record) add(e lease.Event, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if e.Weight != 1 {
		line = fmt.Sprintf("%d %s", e.Weight, line)
	}
	if e.Key == "" || e.At.IsZero() {
		line += fmt.Sprintf(" of %+v", e)
	}
	r.with(func() { r.lines = append(r.lines, line) })
}

func (r *Record) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// Now returns what has been told by now, but for renewals.
func (r *Record) Now() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Take returns what has been told when nothing goes on any more, but for renewals, and
// forgets it.
func (r *Record) Take() (lines []string) {
	synctest.Wait()
	r.with(func() { lines, r.lines = r.lines, nil })
	return lines
}

// CheckTake checks Told, in which the repetitions of a line count once.
func (r *Record) CheckTake(tb testing.TB, what string, want ...string) {
	tb.Helper()
	if got := slices.Compact(r.Take()); !slices.Equal(got, want) {
		tb.Errorf("%s: it tells %q, want %q", what, got, want)
	}
}

// Waited is what it was told of the last who got it.
func (r *Record) Waited() (d time.Duration) {
	r.with(func() { d = r.waited })
	return d
}

// Held is what it was told of the last who had it.
func (r *Record) Held() (d time.Duration) {
	r.with(func() { d = r.held })
	return d
}

// Renewals is how many it was told of.
func (r *Record) Renewals() (n int) {
	r.with(func() { n = r.renews })
	return n
}
