package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// tryAtOnce tries for p in n goroutines at once, and returns how many succeed. Each of the others
// must fail with ErrLocked or ErrNotAvailable.
func (e *env) tryAtOnce(m *Manager, p Params, n int) (got int) {
	e.Helper()
	p.Try = true
	results := make(chan error)
	for range n {
		l := new(Lease)
		e.leases = append(e.leases, l)
		go func() { results <- l.Acquire(e.Context(), m, &p) }()
	}
	for range n {
		switch err := <-results; {
		case err == nil:
			got++
		case errors.Is(err, ErrLocked), errors.Is(err, ErrNotAvailable):
		default:
			e.Error(err)
		}
	}
	return got
}

// TestTriesAllSucceed tries in 64 goroutines at once, where there is enough for all or for fewer.
// As many succeed as there is enough for, also if their process already holds a part.
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
				e.acquire(m, *c.held)
			}
			s.setLatency(10 * ms)
			start := time.Now()
			equal(e, name+": successful tries of 64", e.tryAtOnce(m, c.p, 64), c.want)
			e.checkWithin(name+": the last result", start, 3*20*ms)
		})
	}
}

// TestTryAfterRelease tries after another process has released the lock, while the refusal of an
// earlier try is in flight. That refusal must not fail the later try.
func TestTryAfterRelease(t *testing.T) {
	inBubbles(t, map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1), "reader": reading(time.Minute)}, func(e *env, p Params) {
		m1, _, m2, s2 := e.twoProcesses()
		other := p
		if p.Shared {
			other = writing(time.Minute)
		}
		held := e.acquire(m1, other)
		s2.nextLatencies(0, 10*ms) // Redis refuses immediately, and its reply is slow
		early := make(chan int)
		go func() { early <- e.tryAtOnce(m2, p, 1) }()
		time.Sleep(ms)
		held.Release()
		equal(e, "successful tries for a free lock", e.tryAtOnce(m2, p, 1), 1)
		equal(e, "successful tries for a held lock", <-early, 0)
	})
}

// TestTryOvertaken releases a permit while a try is in flight. The requests overtake each other, and
// the reply to the overtaken one must not fail the try.
func TestTryOvertaken(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.acquire(m, taking(1, 2))
		freed := e.acquire(m, taking(1, 2))
		s.setFault(lostRequest)
		go freed.Release() // the second attempt succeeds
		time.Sleep(10 * ms)
		s.setFault(fine)
		s.nextLatencies(2*time.Second, 0, 3*time.Second, 0) // the try; the release and its reply; the reply to the try
		equal(e, "successful tries for a free permit", e.tryAtOnce(m, taking(1, 2), 1), 1)
	})
}

// TestRoundTripLongerThanWindow acquires over a round trip that is longer than the lease would last.
// A try fails after one reply, a wait when its ctx ends, and nothing stays in Redis.
func TestRoundTripLongerThanWindow(t *testing.T) {
	inBubbles(t, map[string]Params{"mutex": params(15 * ms), "semaphore": taking(1, 2), "reader": reading(15 * ms)}, func(e *env, p Params) {
		p.TTL = 15 * ms
		m, s := e.process()
		s.setLatency(p.TTL / 2)
		for _, p.Try = range []bool{true, false} {
			ctx, cancel := context.WithTimeout(e.Context(), time.Second)
			defer cancel()
			err := new(Lease).Acquire(ctx, m, &p)
			if !errors.Is(err, retry.ErrReplyTooLate) || (ctx.Err() == nil) != p.Try {
				e.Errorf("try %v: got %v, with a ctx in state %v", p.Try, err, ctx.Err())
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		e.checkUsed(p.Kind, 0)
	})
}

// TestTryBehindReleasing tries while this process releases its own claim. The try waits for that
// release, however slow Redis is, but only for one attempt.
func TestTryBehindReleasing(t *testing.T) {
	inBubbles(t, map[string]fault{"slow": fine, "away": lostRequest}, func(e *env, how fault) {
		m, s := e.process()
		held := e.acquire(m, params(time.Minute))
		s.setLatency(time.Second)
		s.setFault(how)
		s.lag = func(time.Duration) time.Duration { return time.Second }
		released := make(chan error)
		go func() { released <- held.Release() }()
		synctest.Wait() // the release is in flight
		for range 10 {
			start := time.Now()
			switch err := e.try(m, params(10*time.Second)); {
			case how == fine && err == nil:
				e.checkWithin("a try returns", start, 4*time.Second) // the release and the request
				e.leases[len(e.leases)-1].Release()
			case how == lostRequest && errors.Is(err, errNetwork):
				e.checkWithin("a try returns", start, 2*time.Second)
			default:
				e.Errorf("a try returns %v", err)
			}
			time.Sleep(10 * ms) // a failed release pauses
		}
		s.setFault(fine)
		<-released
	})
}

// TestTryDoesNotQueue tries a held lock in a subscribed process. The try is one request, and leaves
// no waiter to which the lock could be handed over.
func TestTryDoesNotQueue(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		e.acquire(m1, params(time.Minute))
		m2.AddUser()
		m2.Subscribe()
		time.Sleep(ms)
		if !m2.Subscribed() {
			e.Fatal("the process is not subscribed")
		}
		s2.nextLatencies(0, 0, time.Second) // a second request would be late
		e.checkError("a try", e.try(m2, params(time.Minute)), ErrLocked)
		equal(e, "waiters in the queue", e.waiters("key"), 0)
		m2.RemoveUser()
	})
}

// TestTryBehindRequest tries for permits while the request of another goroutine is in flight. The try
// succeeds if there is enough for both, and fails if the other waits, then without a request.
func TestTryBehindRequest(t *testing.T) {
	for free, want := range map[int64]error{2: nil, 1: ErrNotAvailable, 0: ErrNotAvailable} {
		inBubble(t, func(e *env) {
			m1, _, m2, s2 := e.twoProcesses()
			held := e.acquire(m1, taking(5-free, 5))
			s2.setLatency(10 * ms)
			_, first := e.request(e.Context(), m2, taking(1, 5))
			synctest.Wait()
			start := time.Now()
			e.checkError(fmt.Sprintf("a try with %d free", free), e.try(m2, taking(1, 5)), want)
			e.checkWithin("a try returns", start, 2*20*ms)
			if free == 0 {
				requests := e.redis.counted().requests
				e.checkError("a try behind a waiter", e.try(m2, taking(1, 5)), ErrNotAvailable)
				equal(e, "requests", e.redis.counted().requests, requests)
			}
			held.Release()
			e.checkError("the first", <-first)
		})
	}
}

// TestTryWhenAway tries while Redis does not reply, alone and behind a waiter that pauses between its
// requests. Each try fails after one attempt.
func TestTryWhenAway(t *testing.T) {
	inBubbles(t, map[string]bool{"alone": false, "behind a waiter": true}, func(e *env, waits bool) {
		m, s := e.process()
		s.setFault(lostRequest)
		s.lag = func(time.Duration) time.Duration { return 100 * ms }
		p := taking(1, 100)
		if waits {
			e.request(e.Context(), m, p)
			time.Sleep(10 * time.Second)
		}
		p.Try = true
		start, results := time.Now(), make(chan error)
		for range 64 {
			go func() { results <- new(Lease).Acquire(e.Context(), m, &p) }()
		}
		for range 64 {
			e.checkError("a try", <-results, errNetwork)
		}
		e.checkWithin("the last failure", start, 2*101*ms)
		s.setFault(fine)
	})
}
