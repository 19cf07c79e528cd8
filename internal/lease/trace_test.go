package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A record has a Trace that records its events.
type record struct {
	*env
	mu           sync.Mutex
	lines        []string
	waited, held time.Duration // of the last grant and the last hold
	errs         []trace.Event // errors of Redis
}

func (r *record) handle(_ context.Context, e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := e.Hook
	switch e.Hook {
	case trace.Acquired:
		line, r.waited = "acquired "+e.Path, e.Wait
	case trace.Failed:
		line = fmt.Sprint("failed ", e.Err)
	case trace.Lost:
		line, r.held = "lost "+e.Cause, e.Held
	case trace.Released:
		line, r.held = fmt.Sprint("released ", e.Err), e.Held
	case trace.RedisError:
		line, r.errs = "error "+e.Op, append(r.errs, e)
	}
	r.lines = append(r.lines, line)
}

// traced returns p with a Trace, and the record of that.
func (e *env) traced(p Params) (Params, *record) {
	r := &record{env: e}
	p.Trace = trace.All(r.handle)
	return p, r
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

// TestTracePath grants a lease by each GrantPath. The event must have the path and the wait time, and
// must arrive before the call returns.
func TestTracePath(t *testing.T) {
	const ttl = 10 * time.Second
	lingering := params(ttl)
	lingering.Linger = ttl / 10
	releaseAfter := func(l *Lease, d time.Duration) { time.AfterFunc(d, func() { _ = l.Release() }) }
	byAnother := func(p Params) func(*env, *Manager) { // holds p for a while
		return func(e *env, _ *Manager) {
			m, _ := e.process()
			releaseAfter(e.acquire(m, p), 300*ms)
		}
	}
	type row struct {
		p      Params
		before func(e *env, us *Manager) // lets others hold it
		want   string
	}
	inBubbles(t, map[string]row{
		"free":                {params(ttl), func(*env, *Manager) {}, "acquired immediate"},
		"local":               {params(ttl), func(e *env, us *Manager) { releaseAfter(e.acquire(us, params(ttl)), MinSlice/2) }, "acquired local"},
		"local, by a request": {params(ttl), func(e *env, us *Manager) { releaseAfter(e.acquire(us, params(ttl)), time.Second) }, "acquired local"},
		"shared":              {reading(ttl), func(e *env, us *Manager) { e.acquire(us, reading(ttl)) }, "acquired local"},
		"lingering":           {lingering, func(e *env, us *Manager) { e.linger(us, lingering) }, "acquired lingered"},
		"more permits": {taking(1, 3), func(e *env, us *Manager) {
			e.acquire(us, taking(1, 3))
			time.Sleep(2 * MinSlice)
		}, "acquired immediate"},
		"handed over":         {params(ttl), byAnother(params(ttl)), "acquired notified"},
		"permits handed over": {taking(2, 3), byAnother(taking(2, 3)), "acquired notified"},
		"owner dead":          {params(ttl), func(e *env, _ *Manager) { e.deadOwner(time.Second) }, "acquired polled"},
	}, func(e *env, c row) {
		us, _ := e.process()
		c.before(e, us)
		start := time.Now()
		p, r := e.traced(c.p)
		l := e.acquire(us, p)
		took := time.Since(start)
		want := []string{c.want}
		if took > ms/5 { // more than one request
			want = []string{"waiting", c.want}
		}
		r.expect(want...)
		time.Sleep(time.Second)
		if err := l.Release(); err != nil {
			e.Error(err)
		}
		if r.waited != took || r.held != time.Second {
			e.Errorf("the wait time is %v, want %v; the hold time is %v, want 1s", r.waited, took, r.held)
		}
		r.expect(append(want, "released <nil>")...)
	})
}

// TestTraceFailed ends requests without a hold.
func TestTraceFailed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _, us, s := e.twoProcesses()
		e.acquire(m, params(time.Minute))
		p, r := e.traced(params(time.Minute))
		if err := e.try(us, p); !errors.Is(err, ErrLocked) {
			e.Error(err)
		}
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		for range 2 { // the second request begins with a done ctx
			if err := new(Lease).Acquire(ctx, us, &p); !errors.Is(err, context.DeadlineExceeded) {
				e.Error(err)
			}
		}
		s.setFault(cut)
		if err := e.try(us, p); !errors.Is(err, errNetwork) {
			e.Error(err)
		}
		s.setFault(fine)
		const late = `failed baton: lock "key": context deadline exceeded`
		r.expect(`failed baton: try to lock "key": locked`, "waiting", late, late, "error acquire", `failed baton: try to lock "key": fake: connection lost`)
	})
}

// TestTraceLost loses leases by each LossCause.
func TestTraceLost(t *testing.T) {
	const ttl = 3 * time.Second
	long, longRead := params(ttl), reading(ttl)
	long.MaxHold, longRead.MaxHold = ttl, ttl
	evict := func(e *env) { e.withKey(mutexKey, func(k *fakeKey) { clear(k.holds) }) }
	type row struct {
		p    Params
		lose func(e *env, s *fakeStore) // nil: the lease is not received
		want string
	}
	inBubbles(t, map[string]row{
		"missing":      {params(ttl), func(e *env, _ *fakeStore) { evict(e) }, "key_missing"},
		"cut off":      {params(ttl), func(_ *env, s *fakeStore) { s.setFault(cut) }, "renew_failed"},
		"too long":     {long, func(*env, *fakeStore) {}, "max_hold_exceeded"},
		"shared":       {longRead, func(*env, *fakeStore) {}, "max_hold_exceeded"}, // another lease keeps the claim
		"not received": {params(ttl), nil, "not_received"},
	}, func(e *env, c row) {
		m, s := e.process()
		if c.p.Shared {
			e.acquire(m, reading(ttl))
		}
		p, r := e.traced(c.p)
		if c.lose == nil {
			e.request(e.Context(), m, p)
		} else {
			e.acquire(m, p)
			c.lose(e, s)
		}
		time.Sleep(3 * ttl)
		if r.count("lost "+c.want) != 1 || r.count("acquired immediate")+r.count("acquired local") != 1 || r.count("released <nil>") != 0 {
			e.Errorf("the events are %q, want lost %s", r.lines, c.want)
		}
	})
	inBubble(t, func(e *env) { // the release finds the loss
		m, _ := e.process()
		p, r := e.traced(params(ttl))
		l := e.acquire(m, p)
		evict(e)
		if err := l.Release(); !errors.Is(err, ErrLost) {
			e.Error(err)
		}
		r.expect("acquired immediate", "lost key_missing")
	})
}

// TestTraceOfSeveralKeys waits for one of several keys, and holds all until MaxHold, which counts for
// them together.
func TestTraceOfSeveralKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _, other, _ := e.twoProcesses()
		p, r := e.traced(params(3 * time.Second))
		p.MaxHold, p.Key = 3*time.Second, "b"
		b := p
		b.Trace = nil
		held := e.acquire(other, b)
		time.AfterFunc(time.Second, func() { held.Release() })
		ml := new(MultiLease)
		if err := ml.Acquire(e.Context(), m, p, []string{"a", "b"}); err != nil {
			e.Fatal(err)
		}
		<-ml.Done()
		time.Sleep(time.Second)
		ml.Release()
		r.expect("acquired immediate", "waiting", "acquired notified", "lost max_hold_exceeded", "lost max_hold_exceeded")
	})
}

// TestTwoTracesOfAQueue has leases with two Traces in one queue. Each Trace gets the events of its own
// requests, and the events of their common claim once.
func TestTwoTracesOfAQueue(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		p, one := e.traced(reading(time.Minute))
		q, two := e.traced(reading(time.Minute))
		for range 3 {
			e.acquire(m, p)
			e.acquire(m, q)
		}
		time.Sleep(30 * time.Second)
		s.setFault(cut)
		time.Sleep(15 * time.Second)
		s.setFault(fine)
		if n := one.count("error renew"); one.count("renewed") != 1 || two.count("renewed") != 1 || n == 0 || n != two.count("error renew") {
			e.Errorf("the events of the common claim are %q and %q", one.lines, two.lines)
		}
		if one.count("acquired local") != 2 || two.count("acquired local") != 3 {
			e.Errorf("the events for three requests each are %q and %q", one.lines, two.lines)
		}
	})
}

// TestTraceRedisError fails requests. Each lease that waits for a request gets the event of its failure
// when it happens.
func TestTraceRedisError(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.setFault(cut)
		p, r := e.traced(params(time.Minute))
		q, other := e.traced(params(time.Minute))
		got := make(chan error)
		l := new(Lease)
		go func() { got <- l.Acquire(e.Context(), m, &p) }()
		synctest.Wait()
		_, behind := e.request(e.Context(), m, q)
		time.Sleep(time.Second)
		if n := r.count("error acquire"); n < 3 || n != other.count("error acquire") || r.count("waiting") != 1 {
			e.Errorf("the events of the first request are %q, those behind it %q", r.lines, other.lines)
		}
		s.setFault(fine)
		if err := <-got; err != nil {
			e.Fatal(err)
		}
		l.Release()
		<-behind
	})
	inBubble(t, func(e *env) { // a release without a waiter
		m, s := e.process()
		p, r := e.traced(params(time.Minute))
		l := e.acquire(m, p)
		s.setFault(cut)
		time.AfterFunc(time.Second, func() { s.setFault(fine) })
		if err := l.Release(); err != nil {
			e.Error(err)
		}
		if n := r.count("error release"); n < 3 || len(r.errs) != n || !errors.Is(r.errs[0].Err, errNetwork) || r.errs[0].Fence != l.Fence() {
			e.Errorf("the events of the release are %q", r.lines)
		}
	})
}

// TestTraceUsesItsLock has hooks that use the lock of their event.
func TestTraceUsesItsLock(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		p, r := e.traced(params(time.Second))
		l, hooks := new(Lease), trace.All(r.handle)
		use := func(ctx context.Context, event trace.Event) {
			r.handle(ctx, event)
			<-e.contender(m, params(time.Second))
		}
		hooks.Released, hooks.Lost, hooks.Failed = use, use, use
		hooks.Renewed = func(context.Context, trace.Event) { l.Release() }
		p.Trace = hooks
		if err := l.Acquire(e.Context(), m, &p); err != nil {
			e.Fatal(err)
		}
		<-l.Done() // by the first renewal
		time.Sleep(time.Second)
		p.MaxHold = time.Nanosecond
		<-e.acquire(m, p).Done()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		_ = new(Lease).Acquire(ctx, m, &p)
		r.expect("acquired immediate", "released <nil>", "acquired immediate", "lost max_hold_exceeded", `failed baton: lock "key": context canceled`)
	})
}

// TestTraceSlow has hooks that do not return for long. Their lease and others go on.
func TestTraceSlow(t *testing.T) {
	inBubble(t, func(e *env) {
		const ttl = time.Second
		m, _ := e.process()
		p, r := e.traced(params(ttl))
		hooks := trace.All(r.handle)
		p.Trace = hooks
		hooks.Renewed = func(ctx context.Context, event trace.Event) {
			if r.handle(ctx, event); len(r.lines) == 2 {
				time.Sleep(time.Minute)
			}
		}
		l := e.acquire(m, p)
		_, next := e.request(e.Context(), m, params(ttl))
		time.Sleep(30 * time.Second)
		if err := l.Err(); err != nil {
			t.Errorf("while a hook does not return: %v", err)
		}
		start := time.Now()
		l.Release()
		<-next
		e.checkWithin("the release and the next grant", start, ms)
		r.expect("acquired immediate")
		time.Sleep(time.Minute)
		r.expect("acquired immediate", "released <nil>")
		if n := r.count("renewed"); n < 30 || r.lines[len(r.lines)-1] == "renewed" || r.held != 30*time.Second {
			t.Errorf("the events are %q, held for %v", r.lines, r.held)
		}
	})
}
