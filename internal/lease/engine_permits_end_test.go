package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestMaxHoldAmongOthers ends one lease of a claim by MaxHold. The others stay held.
func TestMaxHoldAmongOthers(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		const ttl = time.Second
		p := taking(1, 8)
		p.TTL = ttl
		kept := e.acquire(m, p)
		_, unreceived := e.request(e.Context(), m, p)
		p.MaxHold = ttl / 2
		start := time.Now()
		short := e.acquire(m, p)
		<-short.Done()
		e.checkWithin("MaxHold ends a lease", start, p.MaxHold+ttl)
		time.Sleep(time.Until(start.Add(ttl + 10*time.Millisecond)))
		if err := <-unreceived; !errors.Is(err, ErrLost) {
			e.Errorf("the lease that is not received ends with %v", err)
		}
		time.Sleep(5 * ttl)
		if !errors.Is(short.Err(), ErrLost) || kept.Err() != nil {
			e.Errorf("%v, and the other lease %v", short.Err(), kept.Err())
		}
		e.checkUsed(Semaphore, 1)
	})
}

// TestResizeRefusesOnlyLargeWaiters makes a waiter too large for the new size. Its request fails,
// smaller waiters go on, and no lease is lost.
func TestResizeRefusesOnlyLargeWaiters(t *testing.T) {
	for _, subscribed := range []bool{true, false} {
		inBubble(t, func(e *env) {
			m1, _, m2, s2 := e.twoProcesses()
			held := e.acquire(m1, taking(1, 4))
			other := e.acquire(m2, taking(3, 4))
			if subscribed { // then the first request queues
				ctx, cancel := context.WithTimeout(e.Context(), time.Second)
				<-second(e.request(ctx, m1, taking(1, 4)))
				cancel()
			}
			_, large := e.request(e.Context(), m1, taking(3, 4))
			_, small := e.request(e.Context(), m1, taking(1, 4))
			time.Sleep(time.Millisecond)
			start := time.Now()
			s2.publish(e.redis.resize(Name{Kind: Semaphore, Key: "key"}, 4, 2))
			if err := <-large; !isSizeError(err) {
				e.Errorf("3 of 2: %v", err)
			}
			e.checkWithin("the refusal", start, MaxPollInterval+time.Millisecond)
			e.checkWaits("the small waiter", small)
			other.Release()
			e.checkGranted("the small waiter", small, 2*time.Millisecond)
			if held.Err() != nil {
				e.Error(held.Err())
			}
			e.checkUsed(Semaphore, 2)
		})
	}
}

// TestShrinkIsRetriedWithRenewals refuses requests while permits are released, or pass from a writer
// to a reader. The change is retried with each renewal until Redis accepts it, and the rest stays held.
func TestShrinkIsRetriedWithRenewals(t *testing.T) {
	for name, c := range map[string]struct{ kept, freed Params }{
		"semaphore": {taking(1, 4), taking(1, 4)},
		"writer":    {reading(time.Minute), writing(time.Minute)},
	} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			freed := e.acquire(m, c.freed)
			kept, got := e.request(e.Context(), m, c.kept)
			if c.kept.Kind == Semaphore {
				e.checkGranted("the other lease", got, ms)
			}
			refused := retry.Permanent(errors.New("no rights"))
			s.setError(refused)
			if err := freed.Release(); !errors.Is(err, refused) {
				e.Error(err)
			}
			if c.kept.Kind == RWMutex {
				e.checkGranted("the reader", got, ms)
			}
			requests := 0
			s.change(func() {
				refuse := s.refuse
				s.refuse = func(request string) error {
					if request == "acquire" {
						requests++
					}
					return refuse(request)
				}
			})
			time.Sleep(10 * time.Minute)
			if s.setError(nil); kept.Err() != nil || requests > 40 {
				e.Errorf("%s: %v, after %d requests", name, kept.Err(), requests)
			}
			time.Sleep(time.Minute / 3)
			e.checkUsed(c.kept.Kind, 1)
		})
	}
}

// TestEvicted removes a hold from Redis. All leases of its claim end, whichever request finds the
// loss, and nothing stays in Redis.
func TestEvicted(t *testing.T) {
	inBubbles(t, map[string]func(*env, *Manager){
		"renewal": func(*env, *Manager) { time.Sleep(21 * time.Second) },
		"release": func(e *env, _ *Manager) {
			if err := e.leases[1].Release(); !errors.Is(err, ErrLost) {
				e.Error(err)
			}
		},
		"part": func(e *env, _ *Manager) {
			if err := e.leases[0].ReleasePermits(1); !errors.Is(err, ErrLost) {
				e.Error(err)
			}
		},
		"request": func(e *env, m *Manager) {
			e.checkGranted("more", second(e.request(e.Context(), m, taking(1, 8))), 5*time.Millisecond)
		},
	}, func(e *env, find func(*env, *Manager)) {
		m, _ := e.process()
		e.acquire(m, taking(2, 8))
		e.acquire(m, taking(1, 8))
		e.evict(e.leases[0].claim.token)
		find(e, m)
		synctest.Wait()
		for _, l := range e.leases[:2] {
			if !errors.Is(l.Err(), ErrLost) {
				e.Error(l.Err())
			}
		}
		e.checkUsed(Semaphore, int64(len(e.leases)-2))
	})
}

// TestHandOverAfterEviction removes a hold whose claim waits for more permits, and then hands these
// over. Redis then grants less than the process expects.
func TestHandOverAfterEviction(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		held, other := e.acquire(m1, taking(2, 4)), e.acquire(m2, taking(2, 4))
		_, got := e.request(e.Context(), m1, taking(2, 4))
		time.Sleep(time.Second)
		e.evict(held.claim.token)
		other.Release()
		e.checkGranted("the waiter", got, 5*time.Millisecond)
		if !errors.Is(held.Err(), ErrLost) {
			e.Error(held.Err())
		}
		time.Sleep(time.Second)
		e.checkUsed(Semaphore, 2)
	})
}

// TestReleaseWithAWrongSize repeats a release of permits, while another lease requests a wrong size
// at some earlier moment. If both share a request, Redis refuses the size and executes the release.
func TestReleaseWithAWrongSize(t *testing.T) {
	for after := 5 * ms; after < time.Second; after += 5 * ms {
		inBubble(t, func(e *env) {
			m, s := e.process()
			held := e.acquire(m, taking(3, 4))
			s.setLatency(20 * ms)
			s.nextFaults(lostRequest)
			released := make(chan error)
			go func() { released <- held.ReleasePermits(1) }()
			time.Sleep(after)
			_, wrong := e.request(e.Context(), m, taking(1, 5))
			if err := <-released; err != nil {
				e.Errorf("Release, with a request after %v: %v", after, err)
			}
			e.checkUsed(Semaphore, 2)
			if err := <-wrong; !isSizeError(err) {
				e.Errorf("1 of 5: %v", err)
			}
		})
	}
}
