package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A record has a Trace that records its events.
type record struct {
	*env
	mu     sync.Mutex
	lines  []string
	waited time.Duration // of the last grant
	held   time.Duration // of the last hold
	errs   []trace.Event // errors of Redis
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

func (r *record) trace() *trace.Hooks[trace.Event] {
	return trace.All(func(_ context.Context, e trace.Event) {
		switch e.Hook {
		case trace.Waiting, trace.Renewed:
			r.add("%s", e.Hook)
		case trace.Acquired:
			r.add("acquired %s", e.Path)
			r.with(func() { r.waited = e.Wait })
		case trace.Failed:
			r.add("failed %v", e.Err)
		case trace.Lost:
			r.add("lost %s", e.Cause)
			r.with(func() { r.held = e.Held })
		case trace.Released:
			r.add("released %v", e.Err)
			r.with(func() { r.held = e.Held })
		case trace.RedisError:
			r.add("error %s", e.Op)
			r.with(func() { r.errs = append(r.errs, e) })
		}
	})
}

// traced returns p with the Trace of the record.
func (r *record) traced(p Params) Params {
	p.Trace = r.trace()
	return p
}

// expect checks the events so far, without renewals.
func (r *record) expect(want ...string) {
	r.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.DeleteFunc(slices.Clone(r.lines), func(s string) bool { return s == "renewed" })
	if !slices.Equal(got, want) {
		r.Errorf("got events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// count returns how often a line was recorded.
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
