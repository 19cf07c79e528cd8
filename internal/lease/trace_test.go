package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// TestTracePath has a lease be granted in each way that there is, and checks that this
// is what is told, and how long it took, before the call returns.
func TestTracePath(t *testing.T) {
	const ttl = 10 * time.Second
	silent := func(s *fakeStore) {
		s.tells(-1)
	}
	lingering := params(ttl)
	lingering.Linger = ttl / 10
	later := func(l *Lease, d time.Duration) { time.AfterFunc(d, func() { _ = l.Release() }) }
	for name, c := range map[string]struct {
		p      Params
		before func(e *env, us *Manager) // what others have
		want   []string
	}{
		"free":   {params(ttl), func(*env, *Manager) {}, []string{"acquired immediate"}},
		"reader": {reading(ttl), func(*env, *Manager) {}, []string{"acquired immediate"}},
		"handed on here": {params(ttl), func(e *env, us *Manager) {
			later(e.take(us, params(ttl)), MinSlice/2)
		}, []string{"waiting", "acquired local"}},
		"asked for after one here": {params(ttl), func(e *env, us *Manager) {
			later(e.take(us, params(ttl)), time.Second)
		}, []string{"waiting", "acquired local"}},
		"shared": {reading(ttl), func(e *env, us *Manager) {
			e.take(us, reading(ttl))
		}, []string{"acquired local"}},
		"kept since the last unlock": {lingering, func(e *env, us *Manager) {
			e.linger(us, lingering)
		}, []string{"acquired lingered"}},
		"some more": {taking(1, 3), func(e *env, us *Manager) {
			e.take(us, taking(1, 3))
			time.Sleep(2 * MinSlice)
		}, []string{"acquired immediate"}},
		"handed over": {params(ttl), func(e *env, us *Manager) {
			m, _ := e.process()
			later(e.take(m, params(ttl)), 300*time.Millisecond)
		}, []string{"waiting", "acquired notified"}},
		"permits handed over": {taking(2, 3), func(e *env, us *Manager) {
			m, _ := e.process()
			later(e.take(m, taking(2, 3)), 300*time.Millisecond)
		}, []string{"waiting", "acquired notified"}},
		"message lost": {params(ttl), func(e *env, us *Manager) {
			m, s := e.process()
			silent(s)
			later(e.take(m, params(ttl)), 300*time.Millisecond)
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
				l := e.take(us, r.traced(c.p))
				r.tells(c.want...)
				if took := time.Since(start); r.waited != took {
					t.Errorf("it has waited %v, and says %v", took, r.waited)
				}
				time.Sleep(time.Second)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
				if r.held != time.Second {
					t.Errorf("it was held for a second, and says %v", r.held)
				}
				r.tells(append(c.want, "released <nil>")...)
			})
		})
	}
}

// TestTraceFailed has requests end without a hold.
func TestTraceFailed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		us, _ := e.process()
		held := e.take(m, params(time.Minute))

		r, try := e.record(), params(time.Minute)
		try.Try = true
		if err := new(Lease).Acquire(e.Context(), us, new(r.traced(try))); !errors.Is(err, ErrLocked) {
			e.Error(err)
		}
		r.tells(`failed baton: try to lock "key": locked`)

		r = e.record()
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		for range 2 { // waits, and then is too late
			if err := new(Lease).Acquire(ctx, us, new(r.traced(params(time.Minute)))); !errors.Is(err, context.DeadlineExceeded) {
				e.Error(err)
			}
		}
		const late = `failed baton: lock "key": context deadline exceeded`
		r.tells("waiting", late, late)

		r = e.record()
		ctx, cancel = context.WithCancel(e.Context())
		l, box := new(Lease), result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, us, new(r.traced(params(time.Minute))), box)
		r.tells()
		time.Sleep(time.Second)
		r.tells("waiting")
		held.Release()
		r.tells("waiting", "acquired notified")
		cancel()
		synctest.Wait() // else it might still be received
		<-box.C()
		r.tells("waiting", "acquired notified", "released <nil>")

		r = e.record()
		s.always(cut)
		if err := new(Lease).Acquire(e.Context(), m, new(r.traced(try))); !errors.Is(err, errNetwork) {
			e.Error(err)
		}
		r.tells("error acquire", `failed baton: try to lock "key": fake: connection lost`)
		s.always(fine)
	})
}

// TestTraceLost loses leases in each way that there is.
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
		beside bool // another lease keeps the claim
		want   string
	}{
		"gone":      {params(ttl), remove, false, "key_missing"},
		"cut off":   {params(ttl), func(_ *env, s *fakeStore) { s.always(cut) }, false, "renew_failed"},
		"paused":    {params(ttl), func(_ *env, s *fakeStore) { s.takes(ttl) }, false, "renew_failed"},
		"too long":  {long, func(*env, *fakeStore) {}, false, "max_hold_exceeded"},
		"beside":    {longRead, func(*env, *fakeStore) {}, true, "max_hold_exceeded"},
		"forgotten": {params(ttl), nil, false, "not_received"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, s := e.process()
				r := e.record()
				if c.beside {
					e.take(m, reading(ttl))
				}
				if c.lose == nil {
					e.want(e.Context(), m, r.traced(c.p))
				} else {
					e.take(m, r.traced(c.p))
					c.lose(e, s)
				}
				start := time.Now()
				time.Sleep(3 * ttl)
				synctest.Wait()
				if r.held <= 0 || r.held > time.Since(start) {
					t.Errorf("it was held for %v", r.held)
				}
				if r.count("lost "+c.want) != 1 || r.count("acquired immediate")+r.count("acquired local") != 1 || r.count("released <nil>") != 0 {
					t.Errorf("it tells %q, want lost %s", r.lines, c.want)
				}
			})
		})
	}
	t.Run("found by the release", func(t *testing.T) {
		inBubble(t, func(e *env) {
			m, s := e.process()
			r := e.record()
			l := e.take(m, r.traced(params(ttl)))
			remove(e, s)
			if err := l.Release(); !errors.Is(err, ErrLost) {
				t.Error(err)
			}
			r.tells("acquired immediate", "lost key_missing")
		})
	})
}

// TestTraceMaxHoldOfSeveralKeys has MaxHold of several keys be over, which counts for them
// together.
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
		r.tells("acquired immediate", "acquired immediate", "lost max_hold_exceeded", "lost max_hold_exceeded")
	})
}

// TestTraceReleaseInParts: that a lease is released is told when its last permits are.
func TestTraceReleaseInParts(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		r := e.record()
		l := e.take(m, r.traced(taking(3, 3)))
		for range 2 {
			r.tells("acquired immediate")
			if err := l.ReleasePermits(1); err != nil {
				t.Error(err)
			}
		}
		r.tells("acquired immediate")
		_ = l.ReleasePermits(1)
		r.tells("acquired immediate", "released <nil>")
	})
}

// TestTraceNotBatchable has two Traces on one line. Each is told of its own requests; of what
// the process does for all of them, each is told once.
func TestTraceNotBatchable(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		one, two := e.record(), e.record()
		p, q := one.traced(reading(time.Minute)), two.traced(reading(time.Minute))
		for range 3 {
			e.take(m, p)
			e.take(m, q)
		}
		e.take(m, reading(time.Minute))
		time.Sleep(30 * time.Second)
		if one.count("renewed") != 1 || two.count("renewed") != 1 {
			t.Errorf("of one renewal they are told %d times and %d times", one.count("renewed"), two.count("renewed"))
		}
		s.always(cut)
		time.Sleep(15 * time.Second)
		s.always(fine)
		if n := one.count("error renew"); n == 0 || n != two.count("error renew") {
			t.Errorf("of failed renewals they are told %d times and %d times", n, two.count("error renew"))
		}
		if one.count("acquired local") != 2 || two.count("acquired local") != 3 {
			t.Errorf("of three requests each they are told %q and %q", one.lines, two.lines)
		}
	})
}

// TestTraceRedisError has requests fail on the way, and checks that each failure is
// told when it happens, to who waits for it.
func TestTraceRedisError(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.always(cut)
		r, other := e.record(), e.record()
		got := make(chan error)
		l := new(Lease)
		go func() { got <- l.Acquire(e.Context(), m, new(r.traced(params(time.Minute)))) }()
		synctest.Wait()
		_, behind := e.want(e.Context(), m, other.traced(params(time.Minute)))
		time.Sleep(time.Second)
		if n := r.count("error acquire"); n < 3 || n != other.count("error acquire") || r.count("waiting") != 1 {
			t.Errorf("while it waits it tells %q, and behind it %q", r.lines, other.lines)
		}
		s.always(fine)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		r.errs = nil
		s.always(cut)
		time.AfterFunc(time.Second, func() { s.always(fine) })
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		<-behind
		synctest.Wait()
		last := r.lines[len(r.lines)-1]
		if last != "released <nil>" {
			t.Errorf("in the end it tells %s", last)
		}
	})
	inBubble(t, func(e *env) { // of a hold that goes to nobody
		m, s := e.process()
		r := e.record()
		l := e.take(m, r.traced(params(time.Minute)))
		s.always(cut)
		time.AfterFunc(time.Second, func() { s.always(fine) })
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if n := r.count("error release"); n < 3 || len(r.errs) != n || !errors.Is(r.errs[0].Err, errNetwork) || r.errs[0].Fence != l.Fence() {
			t.Errorf("of the release it tells %q", r.lines)
		}
	})
}
