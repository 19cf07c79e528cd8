package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// A record has a Trace that writes down what it is told.
type record struct {
	*env
	mu     sync.Mutex
	lines  []string
	waited time.Duration // of the last who got it
	held   time.Duration // of the last who had it
	errs   []RedisErrorInfo
}

func (e *env) record() *record { return &record{env: e} }

func (r *record) add(format string, args ...any) {
	r.with(func() { r.lines = append(r.lines, fmt.Sprintf(format, args...)) })
}

func (r *record) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *record) trace() *Trace {
	return &Trace{
		Waiting: func(context.Context, WaitingInfo) { r.add("waiting") },
		Acquired: func(_ context.Context, i AcquiredInfo) {
			r.add("acquired %v", i.Path)
			r.with(func() { r.waited = i.WaitTime })
		},
		Failed:  func(_ context.Context, i FailedInfo) { r.add("failed %v", i.Err) },
		Renewed: func(context.Context, RenewedInfo) { r.add("renewed") },
		Lost: func(_ context.Context, i LostInfo) {
			r.add("lost %v", i.Cause)
			r.with(func() { r.held = i.Held })
		},
		Released: func(_ context.Context, i ReleasedInfo) {
			r.add("released %v", i.Err)
			r.with(func() { r.held = i.Held })
		},
		RedisError: func(_ context.Context, i RedisErrorInfo) {
			r.add("error %s", i.Op)
			r.with(func() { r.errs = append(r.errs, i) })
		},
	}
}

// traced has p tell the record.
func (r *record) traced(p Params) Params {
	p.Trace = r.trace()
	return p
}

// tells checks what has been told so far, but for renewals.
func (r *record) tells(want ...string) {
	r.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.DeleteFunc(slices.Clone(r.lines), func(s string) bool { return s == "renewed" })
	if !slices.Equal(got, want) {
		r.Errorf("it tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// count is how often a line was told.
func (r *record) count(line string) (n int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l == line {
			n++
		}
	}
	return n
}
