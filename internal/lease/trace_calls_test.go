package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// TestTraceSlow has hooks that do not return for long. Their lease and others go on.
func TestTraceSlow(t *testing.T) {
	inBubble(t, func(e *env) {
		const ttl = time.Second
		m, _ := e.process()
		r := e.record()
		hooks := r.trace()
		hooks.Renewed = func(context.Context, trace.Event) {
			if r.add("renewed"); len(r.lines) == 2 {
				time.Sleep(time.Minute)
			}
		}
		p := params(ttl)
		p.Trace = hooks
		l := e.acquire(m, p)
		_, next := e.request(e.Context(), m, params(ttl))
		time.Sleep(30 * time.Second)
		if err := l.Err(); err != nil {
			t.Errorf("while a hook does not return: %v", err)
		}
		start := time.Now()
		l.Release()
		<-next
		e.checkWithin("the release and the next grant", start, time.Millisecond)
		r.expect("acquired immediate")
		time.Sleep(time.Minute)
		r.expect("acquired immediate", "released <nil>")
		if n := r.count("renewed"); n < 30 || r.lines[len(r.lines)-1] == "renewed" || r.held != 30*time.Second {
			t.Errorf("the events are %q, held for %v", r.lines, r.held)
		}
	})
}

// TestTraceCallsBack has hooks that use the lock of their event.
func TestTraceCallsBack(t *testing.T) {
	inBubble(t, func(e *env) {
		const ttl = time.Second
		m, _ := e.process()
		r, again := e.record(), e.record()
		var l Lease
		hooks := r.trace()
		use := func(what string) {
			r.add("%s", what)
			_, _, _ = l.Err(), l.Fence(), l.Done()
			inner := new(Lease)
			if err := inner.Acquire(context.Background(), m, new(again.traced(params(ttl)))); err != nil {
				t.Error(err)
			}
			if err := inner.Release(); err != nil {
				t.Error(err)
			}
		}
		hooks.Released = func(context.Context, trace.Event) { use("released") }
		hooks.Lost = func(context.Context, trace.Event) { use("lost") }
		hooks.Failed = func(context.Context, trace.Event) { use("failed") }
		hooks.Renewed = func(context.Context, trace.Event) { // releases the lease that was renewed
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
		p := params(ttl)
		p.Trace = hooks
		if err := l.Acquire(e.Context(), m, &p); err != nil {
			t.Fatal(err)
		}
		<-l.Done() // by the first renewal
		time.Sleep(time.Second)
		r.expect("acquired immediate", "released")

		p.MaxHold, p.Trace = time.Nanosecond, hooks // without renewals
		l = Lease{}
		if err := l.Acquire(e.Context(), m, &p); err != nil {
			t.Fatal(err)
		}
		<-l.Done()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		if err := new(Lease).Acquire(ctx, m, &p); err == nil {
			t.Error("a request with a done ctx was granted")
		}
		time.Sleep(time.Second)
		r.expect("acquired immediate", "released", "acquired immediate", "lost", "failed")
		if n := again.count("released <nil>"); n != 3 {
			t.Errorf("%d holds by hooks, want 3: %q", n, again.lines)
		}
	})
}

// grantingStore grants every request.
type grantingStore struct{ Store }

func (grantingStore) Acquire(_ context.Context, r Request) (Reply, error) {
	return Reply{Granted: true, Weight: 1, GrantedNow: 1, FenceBase: 1}, nil
}
func (grantingStore) Release(context.Context, Name, string) (bool, error) { return true, nil }
func (grantingStore) MaxBlock() time.Duration                             { return 0 }
func (grantingStore) IsPrompt(Name) bool                                  { return true }
