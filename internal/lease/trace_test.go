package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTraceHow has a lease be granted in each way that there is, and checks that this
// is what is told, and how long it took, before the call returns.
func TestTraceHow(t *testing.T) {
	const ttl = 10 * time.Second
	silent := func(s *fakeStore) {
		s.change(func() { s.message = func() (int, time.Duration) { return 0, 0 } })
	}
	later := func(l *Lease, d time.Duration) { time.AfterFunc(d, func() { _ = l.Release() }) }
	for name, c := range map[string]struct {
		p      Params
		before func(b *bench, us *Keeper) // what others have
		want   []string
	}{
		"free":   {params(ttl), func(*bench, *Keeper) {}, []string{"acquired at_once"}},
		"reader": {reading(ttl), func(*bench, *Keeper) {}, []string{"acquired at_once"}},
		"handed on here": {params(ttl), func(b *bench, us *Keeper) {
			later(b.acquire(us, ttl), Quantum/2)
		}, []string{"waiting", "acquired inside"}},
		"asked for after one here": {params(ttl), func(b *bench, us *Keeper) {
			later(b.acquire(us, ttl), time.Second)
		}, []string{"waiting", "acquired inside"}},
		"shared": {reading(ttl), func(b *bench, us *Keeper) {
			b.take(us, reading(ttl))
		}, []string{"acquired inside"}},
		"some more": {taking(1, 3), func(b *bench, us *Keeper) {
			b.take(us, taking(1, 3))
			time.Sleep(2 * Quantum)
		}, []string{"acquired at_once"}},
		"handed over": {params(ttl), func(b *bench, us *Keeper) {
			k, _ := b.process()
			later(b.acquire(k, ttl), 300*time.Millisecond)
		}, []string{"waiting", "acquired message"}},
		"permits handed over": {taking(2, 3), func(b *bench, us *Keeper) {
			k, _ := b.process()
			later(b.take(k, taking(2, 3)), 300*time.Millisecond)
		}, []string{"waiting", "acquired message"}},
		"message lost": {params(ttl), func(b *bench, us *Keeper) {
			k, s := b.process()
			silent(s)
			later(b.acquire(k, ttl), 300*time.Millisecond)
		}, []string{"waiting", "acquired poll"}},
		"owner dead": {params(ttl), func(b *bench, us *Keeper) {
			b.redis.key("key").grant("dead", time.Second)
		}, []string{"waiting", "acquired poll"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				us, _ := b.process()
				r := b.record()
				c.before(b, us)
				start := time.Now()
				l := b.take(us, r.traced(c.p))
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
	inBubble(t, func(b *bench) {
		k, s := b.process()
		us, _ := b.process()
		held := b.acquire(k, time.Minute)

		r, try := b.record(), params(time.Minute)
		try.Try = true
		if err := new(Lease).Acquire(b.Context(), us, new(r.traced(try))); err != ErrLocked {
			b.Error(err)
		}
		r.tells("failed baton: locked")

		r = b.record()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		for range 2 { // waits, and then is too late
			if err := new(Lease).Acquire(ctx, us, new(r.traced(params(time.Minute)))); !errors.Is(err, context.DeadlineExceeded) {
				b.Error(err)
			}
		}
		const late = `failed baton: lock "key": context deadline exceeded`
		r.tells("waiting", late, late)

		r = b.record()
		ctx, cancel = context.WithCancel(b.Context())
		l, box := new(Lease), NewBox(Bare{})
		l.AcquireChan(ctx, us, new(r.traced(params(time.Minute))), box)
		r.tells()
		time.Sleep(time.Second)
		r.tells("waiting")
		held.Release()
		r.tells("waiting", "acquired message")
		cancel()
		synctest.Wait() // else it might still be received
		<-box.C()
		r.tells("waiting", "acquired message", "released <nil>")

		r = b.record()
		s.change(func() { s.fault = func() fault { return cut } })
		if err := new(Lease).Acquire(b.Context(), k, new(r.traced(try))); !errors.Is(err, errNetwork) {
			b.Error(err)
		}
		r.tells("error ask", `failed baton: try to lock "key": fake: connection lost`)
		s.change(func() { s.fault = func() fault { return fine } })
	})
}

// TestTraceLost loses leases in each way that there is.
func TestTraceLost(t *testing.T) {
	const ttl = 3 * time.Second
	long := params(ttl)
	long.MaxHold = ttl
	longRead := reading(ttl)
	longRead.MaxHold = ttl
	remove := func(b *bench, _ *fakeStore) {
		b.redis.mu.Lock()
		defer b.redis.mu.Unlock()
		b.redis.key("key").owner = "another"
	}
	for name, c := range map[string]struct {
		p      Params
		lose   func(b *bench, s *fakeStore)
		beside bool // another lease keeps the claim
		want   string
	}{
		"gone":      {params(ttl), remove, false, "gone"},
		"cut off":   {params(ttl), func(_ *bench, s *fakeStore) { s.change(func() { s.fault = func() fault { return cut } }) }, false, "unrenewed"},
		"paused":    {params(ttl), func(_ *bench, s *fakeStore) { s.change(func() { s.latency = func() time.Duration { return ttl } }) }, false, "unrenewed"},
		"too long":  {long, func(*bench, *fakeStore) {}, false, "overdue"},
		"beside":    {longRead, func(*bench, *fakeStore) {}, true, "overdue"},
		"forgotten": {params(ttl), nil, false, "unreceived"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k, s := b.process()
				r := b.record()
				if c.beside {
					b.take(k, reading(ttl))
				}
				if c.lose == nil {
					b.want(b.Context(), k, r.traced(c.p))
				} else {
					b.take(k, r.traced(c.p))
					c.lose(b, s)
				}
				start := time.Now()
				time.Sleep(3 * ttl)
				synctest.Wait()
				if r.held <= 0 || r.held > time.Since(start) {
					t.Errorf("it was held for %v", r.held)
				}
				if r.count("lost "+c.want) != 1 || r.count("acquired at_once")+r.count("acquired inside") != 1 || r.count("released <nil>") != 0 {
					t.Errorf("it tells %q, want lost %s", r.lines, c.want)
				}
			})
		})
	}
	t.Run("found by the release", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			k, s := b.process()
			r := b.record()
			l := b.take(k, r.traced(params(ttl)))
			remove(b, s)
			if err := l.Release(); err != ErrLost {
				t.Error(err)
			}
			r.tells("acquired at_once", "lost gone")
		})
	})
}

// TestTraceGroupOverdue has MaxHold of several keys be over, which counts for them
// together.
func TestTraceGroupOverdue(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		r := b.record()
		p := r.traced(params(3 * time.Second))
		p.MaxHold = 3 * time.Second
		g := new(Group)
		if err := g.Acquire(b.Context(), k, p, []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		<-g.Done()
		time.Sleep(time.Second)
		g.Release()
		r.tells("acquired at_once", "acquired at_once", "lost overdue", "lost overdue")
	})
}

// TestTraceApart has two Traces on one line. Each is told of its own requests; of what
// the process does for all of them, each is told once.
func TestTraceApart(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		one, two := b.record(), b.record()
		p, q := one.traced(reading(time.Minute)), two.traced(reading(time.Minute))
		for range 3 {
			b.take(k, p)
			b.take(k, q)
		}
		b.take(k, reading(time.Minute))
		time.Sleep(30 * time.Second)
		if one.count("renewed") != 1 || two.count("renewed") != 1 {
			t.Errorf("of one renewal they are told %d times and %d times", one.count("renewed"), two.count("renewed"))
		}
		s.change(func() { s.fault = func() fault { return cut } })
		time.Sleep(15 * time.Second)
		s.change(func() { s.fault = func() fault { return fine } })
		if n := one.count("error renew"); n == 0 || n != two.count("error renew") {
			t.Errorf("of failed renewals they are told %d times and %d times", n, two.count("error renew"))
		}
		if one.count("acquired inside") != 2 || two.count("acquired inside") != 3 {
			t.Errorf("of three requests each they are told %q and %q", one.lines, two.lines)
		}
	})
}

// TestTraceRedisError has requests fail on the way, and checks that each failure is
// told when it happens, to who waits for it.
func TestTraceRedisError(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		s.change(func() { s.fault = func() fault { return cut } })
		r, other := b.record(), b.record()
		got := make(chan error)
		l := new(Lease)
		go func() { got <- l.Acquire(b.Context(), k, new(r.traced(params(time.Minute)))) }()
		synctest.Wait()
		_, behind := b.want(b.Context(), k, other.traced(params(time.Minute)))
		time.Sleep(time.Second)
		if n := r.count("error ask"); n < 3 || n != other.count("error ask") || r.count("waiting") != 1 {
			t.Errorf("while it waits it tells %q, and behind it %q", r.lines, other.lines)
		}
		s.change(func() { s.fault = func() fault { return fine } })
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		r.errs = nil
		s.change(func() { s.fault = func() fault { return cut } })
		time.AfterFunc(time.Second, func() { s.change(func() { s.fault = func() fault { return fine } }) })
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
	inBubble(t, func(b *bench) { // of a hold that goes to nobody
		k, s := b.process()
		r := b.record()
		l := b.take(k, r.traced(params(time.Minute)))
		s.change(func() { s.fault = func() fault { return cut } })
		time.AfterFunc(time.Second, func() { s.change(func() { s.fault = func() fault { return fine } }) })
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if n := r.count("error release"); n < 3 || len(r.errs) != n || !errors.Is(r.errs[0].Err, errNetwork) || r.errs[0].Fence != l.Fence() {
			t.Errorf("of the release it tells %q", r.lines)
		}
	})
}
