package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// tries has as many goroutines try for p at once, and returns how many get it. Each of
// the others must be told that it is taken.
func (e *env) tries(m *Manager, p Params, n int) (got int) {
	e.Helper()
	p.Try = true
	errs := make(chan error)
	for range n {
		l := new(Lease)
		e.leases = append(e.leases, l)
		go func() { errs <- l.Acquire(e.Context(), m, &p) }()
	}
	for range n {
		switch err := <-errs; {
		case err == nil:
			got++
		case errors.Is(err, ErrLocked), errors.Is(err, ErrNotAvailable):
		default:
			e.Error(err)
		}
	}
	return got
}

// TestTriesAllSucceed has 64 goroutines try at once for what is free for so many, or
// for fewer: as many succeed, whether their process holds a part already or not.
func TestTriesAllSucceed(t *testing.T) {
	reader, writer := reading(time.Minute), writing(time.Minute)
	for name, c := range map[string]struct {
		p    Params
		held *Params // by another lease of the process
		want int
	}{
		"mutex":                   {p: params(time.Minute), want: 1},
		"mutex, held":             {p: params(time.Minute), held: new(params(time.Minute)), want: 0},
		"readers":                 {p: reader, want: 64},
		"readers behind a reader": {p: reader, held: &reader, want: 64},
		"readers behind a writer": {p: reader, held: &writer, want: 0},
		"writers":                 {p: writer, want: 1},
		"writers behind a reader": {p: writer, held: &reader, want: 0},
		"permits":                 {p: taking(1, 1000), want: 64},
		"some of the permits":     {p: taking(3, 100), want: 33},
		"the other permits":       {p: taking(3, 100), held: new(taking(10, 100)), want: 30},
		"no permits":              {p: taking(3, 100), held: new(taking(99, 100)), want: 0},
	} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			if c.held != nil {
				e.take(m, *c.held)
			}
			s.takes(10 * ms)
			start := time.Now()
			if got := e.tries(m, c.p, 64); got != c.want {
				e.Errorf("%s: %d of 64 tries succeed, want %d", name, got, c.want)
			}
			e.within(name+": all are answered", start, 3*20*ms)
		})
	}
}

// TestTryBehindRequest tries for permits while another goroutine has asked for some
// and has no answer yet: the try succeeds if both fit, and fails if the other waits.
func TestTryBehindRequest(t *testing.T) {
	for _, free := range []int64{2, 1, 0} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			held := e.take(k1, taking(5-free, 5))
			s2.takes(10 * ms)
			_, first := e.want(e.Context(), k2, taking(1, 5))
			synctest.Wait()
			start, p := time.Now(), taking(1, 5)
			p.Try = true
			l := new(Lease)
			e.leases = append(e.leases, l)
			err := l.Acquire(e.Context(), k2, &p)
			if want := map[int64]error{2: nil, 1: ErrNotAvailable, 0: ErrNotAvailable}[free]; !errors.Is(err, want) {
				e.Errorf("with %d free the try returns %v, want %v", free, err, want)
			}
			e.within("a try returns", start, 2*20*ms)
			e.cost("a try behind one who waits", 0, 0, func() {
				if free == 0 && !errors.Is(new(Lease).Acquire(e.Context(), k2, &p), ErrNotAvailable) {
					e.Error("it does not fail")
				}
			})
			held.Release()
			if err := <-first; err != nil {
				e.Error(err)
			}
		})
	}
}

// TestTryAfterRelease tries, after the lock was released elsewhere, while the request
// of an earlier try is under way, which Redis has refused before: the answer to that
// says nothing of the later try.
func TestTryAfterRelease(t *testing.T) {
	for name, p := range map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1), "reader": reading(time.Minute)} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			other := p
			if p.Shared {
				other = writing(time.Minute)
			}
			held := e.take(k1, other)
			s2.travels(0, 10*ms) // Redis refuses at once, and its answer is under way
			early := make(chan int)
			go func() { early <- e.tries(k2, p, 1) }()
			time.Sleep(ms)
			held.Release()
			if e.tries(k2, p, 1) != 1 {
				e.Errorf("%s: what is free is refused", name)
			}
			if <-early != 0 {
				e.Errorf("%s: what was held was not refused", name)
			}
		})
	}
}

// TestTryOvertaken has a permit released while a try is under way, whose request
// arrives after the statement of the release: the answer to what was overtaken is no
// refusal.
func TestTryOvertaken(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.take(m, taking(1, 2))
		freed := e.take(m, taking(1, 2))
		s.always(lostRequest)
		go freed.Release() // it is told by the second attempt
		time.Sleep(10 * ms)
		s.always(fine)
		s.travels(2*time.Second, 0, 3*time.Second, 0) // the try; the release, and its answer; the try's answer
		if e.tries(m, taking(1, 2), 1) != 1 {
			e.Error("a permit that is free is refused")
		}
	})
}

// TestTryWhenAway tries when Redis does not answer, alone, with others, and behind one
// who waits for it to come back: each gets that error by one attempt.
func TestTryWhenAway(t *testing.T) {
	for name, waits := range map[string]bool{"alone": false, "behind one who waits": true} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			s.always(lostRequest)
			s.lag = func(time.Duration) time.Duration { return 100 * ms }
			var got <-chan error
			if waits {
				_, got = e.want(e.Context(), m, taking(1, 100))
				time.Sleep(10 * time.Second) // it pauses between its requests
			}
			start, p, errs := time.Now(), taking(1, 100), make(chan error)
			p.Try = true
			for range 64 {
				go func() { errs <- new(Lease).Acquire(e.Context(), m, &p) }()
			}
			for range 64 {
				if err := <-errs; !errors.Is(err, errNetwork) {
					e.Errorf("%s: a try returns %v", name, err)
				}
			}
			e.within(name+": all fail", start, 2*101*ms)
			s.always(fine)
			if waits {
				e.gets("who waits", got, MaxPollInterval+ms)
			}
		})
	}
}

// TestRoundTripLongerThanWindow asks when each answer takes longer than the lease
// would last: a try is answered by that, a lock when its ctx ends, and nothing is left.
func TestRoundTripLongerThanWindow(t *testing.T) {
	for name, p := range map[string]Params{"mutex": params(15 * ms), "semaphore": taking(1, 2), "reader": reading(15 * ms)} {
		p.TTL = 15 * ms
		inBubble(t, func(e *env) {
			m, s := e.process()
			s.takes(7500 * time.Microsecond)
			for _, try := range []bool{true, false} {
				p.Try = try
				ctx, cancel := context.WithTimeout(e.Context(), time.Second)
				defer cancel()
				err := new(Lease).Acquire(ctx, m, &p)
				if !errors.Is(err, retry.ErrReplyTooLate) || (ctx.Err() == nil) != try {
					e.Errorf("%s: a try (%v) returns %v, and of its ctx %v", name, try, err, ctx.Err())
				}
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if owner, used := e.owner(), e.used(p.Kind); p.Kind == Mutex && owner != "" || p.Kind != Mutex && used != 0 {
				e.Errorf("%s: it is left to %q, %d in use", name, owner, used)
			}
		})
	}
}
