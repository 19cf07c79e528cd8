package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestMaxHoldAmongOthers ends one lease of a claim, and keeps the others.
func TestMaxHoldAmongOthers(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		const ttl = time.Second
		p := taking(1, 8)
		p.TTL = ttl
		kept := e.take(m, p)
		_, lies := e.want(e.Context(), m, p) // and is not received
		p.MaxHold = ttl / 2
		start := time.Now()
		short := e.take(m, p)
		<-short.Done()
		e.within("MaxHold ends a lease", start, p.MaxHold+ttl)
		time.Sleep(time.Until(start.Add(ttl + 10*time.Millisecond)))
		if err := <-lies; !errors.Is(err, ErrLost) {
			e.Errorf("what nobody receives ends with %v", err)
		}
		time.Sleep(5 * ttl)
		if !errors.Is(short.Err(), ErrLost) || kept.Err() != nil {
			e.Errorf("%v, and of the other %v", short.Err(), kept.Err())
		}
		e.uses(Semaphore, 1)
	})
}

// TestUnreceivedAndAwaited lets a grant lie in its channel while another lease of
// the process asks for more, which keeps the claim alive: it must end all the same.
func TestUnreceivedAndAwaited(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "among others": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, _ := e.process()
				const ttl = 20 * time.Second
				if !alone {
					e.take(m, reading(ttl))
				}
				_, lies := e.want(e.Context(), m, reading(ttl))
				_, wrote := e.want(e.Context(), m, writing(ttl))
				start := time.Now()
				time.Sleep(ttl + 10*time.Millisecond)
				if err := <-lies; !errors.Is(err, ErrLost) {
					e.Errorf("what nobody receives ends with %v", err)
				}
				if alone {
					e.gets("the writer", wrote, 20*time.Millisecond)
				}
				e.within("all", start, ttl+100*time.Millisecond)
			})
		})
	}
}

// TestSizeOfOne lets a request fail that wants more than there is: whoever wants
// less goes on, and nobody loses anything.
func TestSizeOfOne(t *testing.T) {
	for _, hears := range []bool{true, false} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			held := e.take(k1, taking(1, 4))
			other := e.take(k2, taking(3, 4))
			if hears { // so that the first request queues
				ctx, cancel := context.WithTimeout(e.Context(), time.Second)
				<-second(e.want(ctx, k1, taking(1, 4)))
				cancel()
			}
			_, large := e.want(e.Context(), k1, taking(3, 4))
			_, small := e.want(e.Context(), k1, taking(1, 4))
			time.Sleep(time.Millisecond)
			start := time.Now()
			s2.publish(e.redis.resize(Name{Kind: Semaphore, Key: "key"}, 4, 2))
			if err := <-large; !isSizeError(err) {
				e.Errorf("3 of 2: %v", err)
			}
			e.within("what is too large is refused", start, MaxPollInterval+time.Millisecond)
			e.waits("what fits", small)
			other.Release()
			e.gets("what fits", small, 2*time.Millisecond)
			if held.Err() != nil {
				e.Error(held.Err())
			}
			e.uses(Semaphore, 2)
		})
	}
}

// TestRefusedForAWhile takes the rights away while permits are released, or pass from a
// writer to a reader: Redis is told as soon as it lets itself be told, by a request for
// each renewal. What is still held is held.
func TestRefusedForAWhile(t *testing.T) {
	for name, c := range map[string]struct{ kept, freed Params }{
		"semaphore": {taking(1, 4), taking(1, 4)},
		"writer":    {reading(time.Minute), writing(time.Minute)},
	} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			freed := e.take(m, c.freed)
			kept, got := e.want(e.Context(), m, c.kept)
			if c.kept.Kind == Semaphore {
				e.gets("the other", got, ms)
			}
			refused := retry.Permanent(errors.New("no rights"))
			s.refuses(refused)
			if err := freed.Release(); !errors.Is(err, refused) {
				e.Error(err)
			}
			if c.kept.Kind == RWMutex {
				e.gets("the reader", got, ms)
			}
			asks := 0
			s.change(func() {
				refuse := s.refuse
				s.refuse = func(request string) error {
					if request == "ask" {
						asks++
					}
					return refuse(request)
				}
			})
			time.Sleep(10 * time.Minute)
			if s.refuses(nil); kept.Err() != nil || asks > 40 {
				e.Errorf("%s: %v, after %d requests", name, kept.Err(), asks)
			}
			time.Sleep(time.Minute / 3)
			e.uses(c.kept.Kind, 1)
		})
	}
}

// TestEvicted removes a hold from Redis: all leases of its claim end, whoever finds
// that out, and nothing stays behind.
func TestEvicted(t *testing.T) {
	for name, find := range map[string]func(*env, *Manager){
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
			e.gets("more", second(e.want(e.Context(), m, taking(1, 8))), 5*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, _ := e.process()
				e.take(m, taking(2, 8))
				e.take(m, taking(1, 8))
				e.redis.mu.Lock()
				p := e.redis.permitsOf(Name{Kind: Semaphore, Key: "key"})
				p.remove(e.leases[0].claim.token)
				e.redis.mu.Unlock()
				find(e, m)
				synctest.Wait()
				for _, l := range e.leases[:2] {
					if !errors.Is(l.Err(), ErrLost) {
						e.Error(l.Err())
					}
				}
				e.uses(Semaphore, int64(len(e.leases)-2))
			})
		})
	}
}

// TestEvictedAndHanded removes a hold whose claim waits for more, and then hands
// that over: what Redis gives is less than what the process counts on.
func TestEvictedAndHanded(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		held, other := e.take(k1, taking(2, 4)), e.take(k2, taking(2, 4))
		_, got := e.want(e.Context(), k1, taking(2, 4))
		time.Sleep(time.Second)
		e.redis.mu.Lock()
		e.redis.permitsOf(Name{Kind: Semaphore, Key: "key"}).remove(held.claim.token)
		e.redis.mu.Unlock()
		other.Release()
		e.gets("who waits", got, 5*time.Millisecond)
		if !errors.Is(held.Err(), ErrLost) {
			e.Error(held.Err())
		}
		time.Sleep(time.Second)
		e.uses(Semaphore, 2)
	})
}

// TestReleaseBesideAWrongSize has another lease ask with a wrong size before a release of permits is
// repeated, sooner or later. If its request is under way then, the release asks for the same. Redis
// refuses that for its size, and executes the rest.
func TestReleaseBesideAWrongSize(t *testing.T) {
	for after := 5 * ms; after < time.Second; after += 5 * ms {
		inBubble(t, func(e *env) {
			k, s := e.process()
			held := e.take(k, taking(3, 4))
			s.takes(20 * ms)
			s.fails(lostRequest)
			released := make(chan error)
			go func() { released <- held.ReleasePermits(1) }()
			time.Sleep(after)
			_, wrong := e.want(e.Context(), k, taking(1, 5))
			if err := <-released; err != nil {
				e.Errorf("Release, %v before: %v", after, err)
			}
			e.uses(Semaphore, 2)
			if err := <-wrong; !isSizeError(err) {
				e.Errorf("1 of 5: %v", err)
			}
		})
	}
}
