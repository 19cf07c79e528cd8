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
		e.checkError("the lease that is not received", <-unreceived, ErrLost)
		time.Sleep(5 * ttl)
		e.checkError("the short lease", short.Err(), ErrLost)
		e.checkError("the other lease", kept.Err())
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
			e.checkError("the holder", held.Err())
			e.checkUsed(Semaphore, 2)
		})
	}
}

// TestShrinkIsRetriedWithRenewals refuses requests while permits are released, or pass from a writer
// to a reader. The change is retried with each renewal until Redis accepts it, and the rest stays held.
func TestShrinkIsRetriedWithRenewals(t *testing.T) {
	type row struct {
		kept, freed Params
		refused     error
		most        int // requests in ten minutes
	}
	denied := retry.Permanent(errors.New("no rights"))
	inBubbles(t, map[string]row{
		"semaphore":      {taking(1, 4), taking(1, 4), denied, 40},
		"writer":         {reading(time.Minute), writing(time.Minute), denied, 40},
		"network errors": {taking(1, 4), taking(1, 4), errNetwork, 5000},
	}, func(e *env, c row) {
		m, s := e.process()
		freed := e.acquire(m, c.freed)
		kept, got := e.request(e.Context(), m, c.kept)
		if c.kept.Kind == Semaphore {
			e.checkGranted("the other lease", got, ms)
		}
		s.setError(c.refused)
		e.checkError("Release", freed.Release(), c.refused)
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
		if n := locked(&s.mu, func() int { return requests }); n > c.most {
			e.Errorf("%d requests", n)
		}
		s.setError(nil)
		e.checkError("the other lease", kept.Err())
		time.Sleep(time.Minute / 3)
		e.checkUsed(c.kept.Kind, 1)
	})
}

// TestEvicted removes a hold from Redis. All leases of its claim end, whichever request finds the
// loss, and nothing stays in Redis.
func TestEvicted(t *testing.T) {
	inBubbles(t, map[string]func(*env, *Manager){
		"renewal": func(*env, *Manager) { time.Sleep(21 * time.Second) },
		"release": func(e *env, _ *Manager) {
			e.checkError("Release", e.leases[1].Release(), ErrLost)
		},
		"part": func(e *env, _ *Manager) {
			e.checkError("ReleasePermits", e.leases[0].ReleasePermits(1), ErrLost)
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
			e.checkError("a lease", l.Err(), ErrLost)
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
		e.checkError("the evicted lease", held.Err(), ErrLost)
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
			e.checkError(fmt.Sprint("Release, with a request after ", after), <-released)
			e.checkUsed(Semaphore, 2)
			if err := <-wrong; !isSizeError(err) {
				e.Errorf("1 of 5: %v", err)
			}
		})
	}
}
