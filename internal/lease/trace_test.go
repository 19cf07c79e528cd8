package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// TestTracePath grants a lease by each GrantPath. The event must have the path and the wait time, and
// must arrive before the call returns.
func TestTracePath(t *testing.T) {
	const ttl = 10 * time.Second

	lingering := params(ttl)
	lingering.Linger = ttl / 10
	releaseAfter := func(l *Lease, d time.Duration) { time.AfterFunc(d, func() { _ = l.Release() }) }
	for name, c := range map[string]struct {
		p      Params
		before func(e *env, us *Manager) // lets others hold it
		want   []string
	}{
		"free":   {params(ttl), func(*env, *Manager) {}, []string{"acquired immediate"}},
		"reader": {reading(ttl), func(*env, *Manager) {}, []string{"acquired immediate"}},
		"local": {params(ttl), func(e *env, us *Manager) {
			releaseAfter(e.acquire(us, params(ttl)), MinSlice/2)
		}, []string{"waiting", "acquired local"}},
		"local, by a request": {params(ttl), func(e *env, us *Manager) {
			releaseAfter(e.acquire(us, params(ttl)), time.Second)
		}, []string{"waiting", "acquired local"}},
		"shared": {reading(ttl), func(e *env, us *Manager) {
			e.acquire(us, reading(ttl))
		}, []string{"acquired local"}},
		"lingering": {lingering, func(e *env, us *Manager) {
			e.linger(us, lingering)
		}, []string{"acquired lingered"}},
		"more permits": {taking(1, 3), func(e *env, us *Manager) {
			e.acquire(us, taking(1, 3))
			time.Sleep(2 * MinSlice)
		}, []string{"acquired immediate"}},
		"handed over": {params(ttl), func(e *env, us *Manager) {
			m, _ := e.process()
			releaseAfter(e.acquire(m, params(ttl)), 300*time.Millisecond)
		}, []string{"waiting", "acquired notified"}},
		"permits handed over": {taking(2, 3), func(e *env, us *Manager) {
			m, _ := e.process()
			releaseAfter(e.acquire(m, taking(2, 3)), 300*time.Millisecond)
		}, []string{"waiting", "acquired notified"}},
		"message lost": {params(ttl), func(e *env, us *Manager) {
			m, s := e.process()
			s.delayMessages(-1)
			releaseAfter(e.acquire(m, params(ttl)), 300*time.Millisecond)
		}, []string{"waiting", "acquired polled"}},
		"owner dead": {params(ttl), func(e *env, us *Manager) {
			e.redis.key("key").grant("dead", time.Second)
		}, []string{"waiting", "acquired polled"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				us, _ := e.process()
				r := e.record()
				c.before(e, us)
				start := time.Now()
				l := e.acquire(us, r.traced(c.p))
				r.expect(c.want...)
				if took := time.Since(start); r.waited != took {
					t.Errorf("the wait time is %v, want %v", r.waited, took)
				}
				time.Sleep(time.Second)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
				if r.held != time.Second {
					t.Errorf("the hold time is %v, want 1s", r.held)
				}
				r.expect(append(c.want, "released <nil>")...)
			})
		})
	}
}

// TestTraceFailed ends requests without a hold.
func TestTraceFailed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		us, _ := e.process()
		held := e.acquire(m, params(time.Minute))

		r := e.record()
		if err := e.try(us, r.traced(params(time.Minute))); !errors.Is(err, ErrLocked) {
			e.Error(err)
		}
		r.expect(`failed baton: try to lock "key": locked`)

		r = e.record()
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		for range 2 { // the second request begins with a done ctx
			if err := new(Lease).Acquire(ctx, us, new(r.traced(params(time.Minute)))); !errors.Is(err, context.DeadlineExceeded) {
				e.Error(err)
			}
		}
		const late = `failed baton: lock "key": context deadline exceeded`
		r.expect("waiting", late, late)

		r = e.record()
		ctx, cancel = context.WithCancel(e.Context())
		l, results := new(Lease), result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, us, new(r.traced(params(time.Minute))), results)
		r.expect()
		time.Sleep(time.Second)
		r.expect("waiting")
		held.Release()
		r.expect("waiting", "acquired notified")
		cancel()
		synctest.Wait() // otherwise it might still be received
		<-results.C()
		r.expect("waiting", "acquired notified", "released <nil>")

		r = e.record()
		s.setFault(cut)
		if err := e.try(m, r.traced(params(time.Minute))); !errors.Is(err, errNetwork) {
			e.Error(err)
		}
		r.expect("error acquire", `failed baton: try to lock "key": fake: connection lost`)
		s.setFault(fine)
	})
}

// TestTraceLost loses leases by each LossCause.
func TestTraceLost(t *testing.T) {
	const ttl = 3 * time.Second
	long := params(ttl)
	long.MaxHold = ttl
	longRead := reading(ttl)
	longRead.MaxHold = ttl
	remove := func(e *env, _ *fakeStore) {
		e.redis.mu.Lock()
		defer e.redis.mu.Unlock()
		e.redis.key("key").owner = "another"
	}
	for name, c := range map[string]struct {
		p      Params
		lose   func(e *env, s *fakeStore)
		shared bool // another lease keeps the claim
		want   string
	}{
		"missing":   {params(ttl), remove, false, "key_missing"},
		"cut off":   {params(ttl), func(_ *env, s *fakeStore) { s.setFault(cut) }, false, "renew_failed"},
		"paused":    {params(ttl), func(_ *env, s *fakeStore) { s.setLatency(ttl) }, false, "renew_failed"},
		"too long":  {long, func(*env, *fakeStore) {}, false, "max_hold_exceeded"},
		"shared":    {longRead, func(*env, *fakeStore) {}, true, "max_hold_exceeded"},
		"forgotten": {params(ttl), nil, false, "not_received"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, s := e.process()
				r := e.record()
				if c.shared {
					e.acquire(m, reading(ttl))
				}
				if c.lose == nil {
					e.request(e.Context(), m, r.traced(c.p))
				} else {
					e.acquire(m, r.traced(c.p))
					c.lose(e, s)
				}
				start := time.Now()
				time.Sleep(3 * ttl)
				synctest.Wait()
				if r.held <= 0 || r.held > time.Since(start) {
					t.Errorf("the hold time is %v", r.held)
				}
				if r.count("lost "+c.want) != 1 || r.count("acquired immediate")+r.count("acquired local") != 1 || r.count("released <nil>") != 0 {
					t.Errorf("the events are %q, want lost %s", r.lines, c.want)
				}
			})
		})
	}
	t.Run("found by the release", func(t *testing.T) {
		inBubble(t, func(e *env) {
			m, s := e.process()
			r := e.record()
			l := e.acquire(m, r.traced(params(ttl)))
			remove(e, s)
			if err := l.Release(); !errors.Is(err, ErrLost) {
				t.Error(err)
			}
			r.expect("acquired immediate", "lost key_missing")
		})
	})
}

// TestTraceMaxHoldOfSeveralKeys holds several keys until MaxHold, which counts for them together.
func TestTraceMaxHoldOfSeveralKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		r := e.record()
		p := r.traced(params(3 * time.Second))
		p.MaxHold = 3 * time.Second
		ml := new(MultiLease)
		if err := ml.Acquire(e.Context(), m, p, []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		<-ml.Done()
		time.Sleep(time.Second)
		ml.Release()
		r.expect("acquired immediate", "acquired immediate", "lost max_hold_exceeded", "lost max_hold_exceeded")
	})
}

// TestTraceReleaseInParts checks that the Released event comes with the last permits.
func TestTraceReleaseInParts(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		r := e.record()
		l := e.acquire(m, r.traced(taking(3, 3)))
		for range 2 {
			r.expect("acquired immediate")
			if err := l.ReleasePermits(1); err != nil {
				t.Error(err)
			}
		}
		r.expect("acquired immediate")
		_ = l.ReleasePermits(1)
		r.expect("acquired immediate", "released <nil>")
	})
}

// TestTwoTracesOfAQueue has leases with two Traces in one queue. Each Trace gets the events of its own
// requests, and the events of their common claim once.
func TestTwoTracesOfAQueue(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		one, two := e.record(), e.record()
		p, q := one.traced(reading(time.Minute)), two.traced(reading(time.Minute))
		for range 3 {
			e.acquire(m, p)
			e.acquire(m, q)
		}
		e.acquire(m, reading(time.Minute))
		time.Sleep(30 * time.Second)
		if one.count("renewed") != 1 || two.count("renewed") != 1 {
			t.Errorf("%d and %d events for one renewal", one.count("renewed"), two.count("renewed"))
		}
		s.setFault(cut)
		time.Sleep(15 * time.Second)
		s.setFault(fine)
		if n := one.count("error renew"); n == 0 || n != two.count("error renew") {
			t.Errorf("%d and %d events for failed renewals", n, two.count("error renew"))
		}
		if one.count("acquired local") != 2 || two.count("acquired local") != 3 {
			t.Errorf("the events for three requests each are %q and %q", one.lines, two.lines)
		}
	})
}

// TestTraceRedisError fails requests. Each lease that waits for a request gets the event of its failure
// when it happens.
func TestTraceRedisError(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.setFault(cut)
		r, other := e.record(), e.record()
		got := make(chan error)
		l := new(Lease)
		go func() { got <- l.Acquire(e.Context(), m, new(r.traced(params(time.Minute)))) }()
		synctest.Wait()
		_, behind := e.request(e.Context(), m, other.traced(params(time.Minute)))
		time.Sleep(time.Second)
		if n := r.count("error acquire"); n < 3 || n != other.count("error acquire") || r.count("waiting") != 1 {
			t.Errorf("the events of the first request are %q, those behind it %q", r.lines, other.lines)
		}
		s.setFault(fine)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		r.errs = nil
		s.setFault(cut)
		time.AfterFunc(time.Second, func() { s.setFault(fine) })
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		<-behind
		synctest.Wait()
		if last := r.lines[len(r.lines)-1]; last != "released <nil>" {
			t.Errorf("the last event is %s", last)
		}
	})
	inBubble(t, func(e *env) { // a release without a waiter
		m, s := e.process()
		r := e.record()
		l := e.acquire(m, r.traced(params(time.Minute)))
		s.setFault(cut)
		time.AfterFunc(time.Second, func() { s.setFault(fine) })
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if n := r.count("error release"); n < 3 || len(r.errs) != n || !errors.Is(r.errs[0].Err, errNetwork) || r.errs[0].Fence != l.Fence() {
			t.Errorf("the events of the release are %q", r.lines)
		}
	})
}
