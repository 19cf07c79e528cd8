package lease

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// traced returns p with a Trace, and the record of its events.
func traced(p Params) (Params, *redistest.Record[trace.Event]) {
	r := new(redistest.Record[trace.Event])
	p.Trace = r.Trace()
	return p, r
}

// count returns how often r has recorded a line so far.
func count(r *redistest.Record[trace.Event], line string) (n int) {
	synctest.Wait()
	for _, l := range r.Now() {
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
		path   string
	}
	inBubbles(t, map[string]row{
		"free":                {params(ttl), func(*env, *Manager) {}, trace.Immediate},
		"local":               {params(ttl), func(e *env, us *Manager) { releaseAfter(e.acquire(us, params(ttl)), MinSlice/2) }, trace.Local},
		"local, by a request": {params(ttl), func(e *env, us *Manager) { releaseAfter(e.acquire(us, params(ttl)), time.Second) }, trace.Local},
		"shared":              {reading(ttl), func(e *env, us *Manager) { e.acquire(us, reading(ttl)) }, trace.Local},
		"lingering":           {lingering, func(e *env, us *Manager) { e.linger(us, lingering) }, trace.Lingered},
		"more permits": {taking(1, 3), func(e *env, us *Manager) {
			e.acquire(us, taking(1, 3))
			time.Sleep(2 * MinSlice)
		}, trace.Immediate},
		"handed over":         {params(ttl), byAnother(params(ttl)), trace.Notified},
		"permits handed over": {taking(1, 1), byAnother(taking(1, 1)), trace.Notified},
		"owner dead":          {params(ttl), func(e *env, _ *Manager) { e.deadOwner(time.Second) }, trace.Polled},
	}, func(e *env, c row) {
		us, _ := e.process()
		c.before(e, us)
		start := time.Now()
		p, r := traced(c.p)
		l := e.acquire(us, p)
		took := time.Since(start)
		want := []string{"acquired " + c.path}
		if took > ms/5 { // more than one request
			want = []string{"waiting", "acquired " + c.path}
		}
		r.CheckTake(e, "the grant", want...)
		equal(e, "the wait time", r.Waited(), took)
		time.Sleep(time.Second)
		e.checkError("Release", l.Release())
		r.CheckTake(e, "the release", "released <nil>")
		equal(e, "the hold time", r.Held(), time.Second)
	})
}

// TestTraceFailed ends requests without a hold.
func TestTraceFailed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _, us, s := e.twoProcesses()
		e.acquire(m, params(time.Minute))
		p, r := traced(params(time.Minute))
		e.checkError("a try", e.try(us, p), ErrLocked)
		r.CheckTake(e, "a try", `failed baton: try to lock "key": locked`)
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		const late = `failed baton: lock "key": context deadline exceeded`
		for _, want := range [][]string{{"waiting", late}, {late}} { // the second request begins with a done ctx
			e.checkError("a wait", new(Lease).Acquire(ctx, us, &p), context.DeadlineExceeded)
			r.CheckTake(e, "a wait", want...)
		}
		s.setFault(cut)
		e.checkError("a try", e.try(us, p), errNetwork)
		s.setFault(fine)
		r.CheckTake(e, "a try", "error acquire", `failed baton: try to lock "key": fake: connection lost`)
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
		p, r := traced(c.p)
		if c.lose == nil {
			e.request(e.Context(), m, p)
		} else {
			e.acquire(m, p)
			c.lose(e, s)
		}
		time.Sleep(3 * ttl)
		events := slices.DeleteFunc(r.Take(), func(line string) bool { return strings.HasPrefix(line, "error ") })
		if len(events) != 2 || !strings.HasPrefix(events[0], "acquired ") || events[1] != "lost "+c.want {
			e.Errorf("the events are %q, want lost %s", events, c.want)
		}
	})
	inBubble(t, func(e *env) { // the release finds the loss
		m, _ := e.process()
		p, r := traced(params(ttl))
		l := e.acquire(m, p)
		evict(e)
		e.checkError("Release", l.Release(), ErrLost)
		r.CheckTake(e, "the loss", "acquired immediate", "lost key_missing")
	})
}

// TestTraceOfSeveralKeys waits for one of several keys, and holds all until MaxHold, which counts for
// them together.
func TestTraceOfSeveralKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _, other, _ := e.twoProcesses()
		p, r := traced(params(3 * time.Second))
		p.MaxHold, p.Key = 3*time.Second, "b"
		b := p
		b.Trace = nil
		held := e.acquire(other, b)
		time.AfterFunc(time.Second, func() { held.Release() })
		ml := e.acquireKeys(m, p, "a", "b")
		r.CheckTake(e, "the grants", "acquired immediate", "waiting", "acquired notified")
		<-ml.Done()
		time.Sleep(time.Second)
		ml.Release()
		equal(e, "losses", count(r, "lost max_hold_exceeded"), 2)
		r.CheckTake(e, "the end", "lost max_hold_exceeded")
	})
}

// TestTwoTracesOfAQueue has leases with two Traces in one queue. Each Trace gets the events of its own
// requests, and the events of their common claim once.
func TestTwoTracesOfAQueue(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		p, one := traced(reading(time.Minute))
		q, two := traced(reading(time.Minute))
		for range 3 {
			e.acquire(m, p)
			e.acquire(m, q)
		}
		time.Sleep(30 * time.Second)
		s.setFault(cut)
		time.Sleep(15 * time.Second)
		s.setFault(fine)
		if n := count(one, "error renew"); one.Renewals() != 1 || two.Renewals() != 1 || n == 0 || n != count(two, "error renew") {
			e.Errorf("the events of the common claim are %q and %q, and %d and %d renewals", one.Now(), two.Now(), one.Renewals(), two.Renewals())
		}
		equal(e, "grants of one Trace by others", count(one, "acquired local"), 2)
		equal(e, "grants of the other", count(two, "acquired local"), 3)
	})
}

// TestTraceRedisError fails requests. Each lease that waits for a request gets the event of its failure
// when it happens.
func TestTraceRedisError(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.setFault(cut)
		p, r := traced(params(time.Minute))
		q, other := traced(params(time.Minute))
		got := make(chan error)
		l := new(Lease)
		go func() { got <- l.Acquire(e.Context(), m, &p) }()
		synctest.Wait()
		_, behind := e.request(e.Context(), m, q)
		time.Sleep(time.Second)
		if n := count(r, "error acquire"); n < 3 || n != count(other, "error acquire") || count(r, "waiting") != 1 {
			e.Errorf("the events of the first request are %q, those behind it %q", r.Now(), other.Now())
		}
		s.setFault(fine)
		e.checkError("the first", <-got)
		l.Release()
		<-behind
	})
	inBubble(t, func(e *env) { // a release without a waiter
		m, s := e.process()
		var errs []trace.Event
		p := params(time.Minute)
		p.Trace = &trace.Hooks[trace.Event]{RedisError: func(_ context.Context, e trace.Event) { errs = append(errs, e) }}
		l := e.acquire(m, p)
		s.setFault(cut)
		time.AfterFunc(time.Second, func() { s.setFault(fine) })
		e.checkError("Release", l.Release())
		synctest.Wait()
		if n := len(errs); n < 3 || errs[n-1].Op != "release" || !errors.Is(errs[0].Err, errNetwork) || errs[0].Fence != l.Fence() {
			e.Errorf("the events of the release are %+v", errs)
		}
	})
}

// TestTraceUsesItsLock has hooks that use the lock of their event.
func TestTraceUsesItsLock(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		p, r := traced(params(time.Second))
		l, hooks := new(Lease), r.Trace()
		use := func(ctx context.Context, event trace.Event) {
			r.Trace().Call(ctx, event)
			<-e.contender(m, params(time.Second))
		}
		hooks.Released, hooks.Lost, hooks.Failed = use, use, use
		hooks.Renewed = func(context.Context, trace.Event) { l.Release() }
		p.Trace = hooks
		e.checkError("Acquire", l.Acquire(e.Context(), m, &p))
		<-l.Done() // by the first renewal
		time.Sleep(time.Second)
		p.MaxHold = time.Nanosecond
		<-e.acquire(m, p).Done()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		_ = new(Lease).Acquire(ctx, m, &p)
		r.CheckTake(e, "the events", "acquired immediate", "released <nil>", "acquired immediate", "lost max_hold_exceeded", `failed baton: lock "key": context canceled`)
	})
}

// TestTraceSlow has hooks that do not return for long. Their lease and others go on.
func TestTraceSlow(t *testing.T) {
	inBubble(t, func(e *env) {
		const ttl = time.Second
		m, _ := e.process()
		p, r := traced(params(ttl))
		hooks, all, renewals := r.Trace(), r.Trace(), 0
		hooks.Renewed = func(ctx context.Context, event trace.Event) {
			all.Call(ctx, event)
			if r.Renewals() == 1 {
				time.Sleep(time.Minute)
			}
		}
		hooks.Released = func(ctx context.Context, event trace.Event) {
			renewals = r.Renewals()
			all.Call(ctx, event)
		}
		p.Trace = hooks
		l := e.acquire(m, p)
		_, next := e.request(e.Context(), m, params(ttl))
		time.Sleep(30 * time.Second)
		e.checkError("while a hook does not return", l.Err())
		start := time.Now()
		l.Release()
		<-next
		e.checkWithin("the release and the next grant", start, ms)
		r.CheckTake(e, "until the hook returns", "acquired immediate")
		time.Sleep(time.Minute)
		r.CheckTake(e, "then", "released <nil>")
		equal(e, "the hold time", r.Held(), 30*time.Second)
		if renewals < 30 || renewals != r.Renewals() {
			e.Errorf("%d renewals, and %d until the release", r.Renewals(), renewals)
		}
	})
}
