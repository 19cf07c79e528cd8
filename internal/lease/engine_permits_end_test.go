package lease

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestMaxHoldAmongOthers ends one lease of a claim, and keeps the others.
func TestMaxHoldAmongOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		const ttl = time.Second
		p := taking(1, 8)
		p.TTL = ttl
		kept := b.take(k, p)
		_, lies := b.want(b.Context(), k, p) // and is not received
		p.MaxHold = ttl / 2
		start := time.Now()
		short := b.take(k, p)
		<-short.Done()
		b.within("MaxHold ends a lease", start, p.MaxHold+ttl)
		time.Sleep(time.Until(start.Add(ttl + 10*time.Millisecond)))
		if err := <-lies; err != ErrLost {
			b.Errorf("what nobody receives ends with %v", err)
		}
		time.Sleep(5 * ttl)
		if short.Err() != ErrLost || kept.Err() != nil {
			b.Errorf("%v, and of the other %v", short.Err(), kept.Err())
		}
		b.uses(Semaphore, 1)
	})
}

// TestUnreceivedAndAwaited lets a grant lie in its channel while another lease of
// the process asks for more, which keeps the claim alive: it must end all the same.
func TestUnreceivedAndAwaited(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "among others": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k, _ := b.process()
				const ttl = 20 * time.Second
				if !alone {
					b.take(k, reading(ttl))
				}
				_, lies := b.want(b.Context(), k, reading(ttl))
				_, wrote := b.want(b.Context(), k, writing(ttl))
				start := time.Now()
				time.Sleep(ttl + 10*time.Millisecond)
				if err := <-lies; err != ErrLost {
					b.Errorf("what nobody receives ends with %v", err)
				}
				if alone {
					b.gets("the writer", wrote, 20*time.Millisecond)
				}
				b.within("all", start, ttl+100*time.Millisecond)
			})
		})
	}
}

// TestSizeOfOne lets a request fail that wants more than there is: whoever wants
// less goes on, and nobody loses anything.
func TestSizeOfOne(t *testing.T) {
	for _, hears := range []bool{true, false} {
		inBubble(t, func(b *bench) {
			k1, _ := b.process()
			k2, s2 := b.process()
			held := b.take(k1, taking(1, 4))
			other := b.take(k2, taking(3, 4))
			if hears { // so that the first request queues
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				<-second(b.want(ctx, k1, taking(1, 4)))
				cancel()
			}
			_, large := b.want(b.Context(), k1, taking(3, 4))
			_, small := b.want(b.Context(), k1, taking(1, 4))
			time.Sleep(time.Millisecond)
			start := time.Now()
			s2.publish(b.redis.resize(Name{Semaphore, "key"}, 4, 2))
			if err := <-large; !errors.Is(err, ErrSize) {
				b.Errorf("3 of 2: %v", err)
			}
			b.within("what is too large is refused", start, PollBound+time.Millisecond)
			b.waits("what fits", small)
			other.Release()
			b.gets("what fits", small, 2*time.Millisecond)
			if held.Err() != nil {
				b.Error(held.Err())
			}
			b.uses(Semaphore, 2)
		})
	}
}

// TestSizeUnknown has the wrong idea of the size.
func TestSizeUnknown(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		held := b.take(k, taking(1, 4))
		for range 2 {
			start := time.Now()
			if err := new(Lease).Acquire(b.Context(), k, new(taking(1, 5))); !errors.Is(err, ErrSize) {
				b.Error(err)
			}
			b.within("a wrong size is refused", start, time.Millisecond)
		}
		time.Sleep(time.Second)
		if b.uses(Semaphore, 1); held.Err() != nil {
			b.Error(held.Err())
		}
	})
}

// counting fails with err, if that is not nil, and counts.
type counting struct {
	Store
	mu   sync.Mutex
	err  error
	asks int
}

// fail makes it fail with err from now on, and returns how many requests it has seen.
func (c *counting) fail(err error) (asks int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asks, c.asks, c.err = c.asks, 0, err
	return asks
}

func (c *counting) Ask(ctx context.Context, r Request) (Reply, error) {
	c.mu.Lock()
	c.asks++
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return Reply{}, err
	}
	return c.Store.Ask(ctx, r)
}

// TestRefusedForAWhile takes the rights away while permits are released, or pass from a
// writer to a reader: Redis is told as soon as it lets itself be told, by a request for
// each renewal. What is still held is held.
func TestRefusedForAWhile(t *testing.T) {
	for name, c := range map[string]struct{ kept, freed Params }{
		"semaphore": {taking(1, 4), taking(1, 4)},
		"writer":    {reading(time.Minute), writing(time.Minute)},
	} {
		inBubble(t, func(b *bench) {
			k, s := b.process()
			no := &counting{Store: s}
			k.store = no
			freed := b.take(k, c.freed)
			kept, got := b.want(b.Context(), k, c.kept)
			if c.kept.Kind == Semaphore {
				b.gets("the other", got, ms)
			}
			refused := Permanent(errors.New("no rights"))
			no.fail(refused)
			if err := freed.Release(); !errors.Is(err, refused) {
				b.Error(err)
			}
			if c.kept.Kind == RWMutex {
				b.gets("the reader", got, ms)
			}
			time.Sleep(10 * time.Minute)
			if asks := no.fail(nil); kept.Err() != nil || asks > 40 {
				b.Errorf("%s: %v, after %d requests", name, kept.Err(), asks)
			}
			time.Sleep(time.Minute / 3)
			b.uses(c.kept.Kind, 1)
		})
	}
}

// TestEvicted removes a hold from Redis: all leases of its claim end, whoever finds
// that out, and nothing stays behind.
func TestEvicted(t *testing.T) {
	for name, find := range map[string]func(*bench, *Keeper){
		"renewal": func(*bench, *Keeper) { time.Sleep(21 * time.Second) },
		"release": func(b *bench, _ *Keeper) {
			if err := b.leases[1].Release(); err != ErrLost {
				b.Error(err)
			}
		},
		"part": func(b *bench, _ *Keeper) {
			if err := b.leases[0].ReleasePart(1); err != ErrLost {
				b.Error(err)
			}
		},
		"request": func(b *bench, k *Keeper) {
			b.gets("more", second(b.want(b.Context(), k, taking(1, 8))), 5*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k, _ := b.process()
				b.take(k, taking(2, 8))
				b.take(k, taking(1, 8))
				b.redis.mu.Lock()
				p := b.redis.permitsOf(Name{Semaphore, "key"})
				p.remove(b.leases[0].claim.token)
				b.redis.mu.Unlock()
				find(b, k)
				synctest.Wait()
				for _, l := range b.leases[:2] {
					if l.Err() != ErrLost {
						b.Error(l.Err())
					}
				}
				b.uses(Semaphore, int64(len(b.leases)-2))
			})
		})
	}
}

// TestEvictedAndHanded removes a hold whose claim waits for more, and then hands
// that over: what Redis gives is less than what the process counts on.
func TestEvictedAndHanded(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		held, other := b.take(k1, taking(2, 4)), b.take(k2, taking(2, 4))
		_, got := b.want(b.Context(), k1, taking(2, 4))
		time.Sleep(time.Second)
		b.redis.mu.Lock()
		b.redis.permitsOf(Name{Semaphore, "key"}).remove(held.claim.token)
		b.redis.mu.Unlock()
		other.Release()
		b.gets("who waits", got, 5*time.Millisecond)
		if held.Err() != ErrLost {
			b.Error(held.Err())
		}
		time.Sleep(time.Second)
		b.uses(Semaphore, 2)
	})
}

// TestTTLsDiffer takes leases of one claim for different times: the longest counts.
func TestTTLsDiffer(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		p := taking(1, 8)
		for _, c := range []struct{ asks, counts time.Duration }{
			{time.Second, time.Second}, {time.Minute, time.Minute}, {time.Second, time.Minute},
		} {
			p.TTL = c.asks
			time.Sleep(2 * Quantum)
			l := b.take(k, p)
			b.redis.mu.Lock()
			h := b.redis.permitsOf(Name{Semaphore, "key"}).hold(l.claim.token)
			if got := time.Duration(h.expires-nowMilli()) * time.Millisecond; got < c.counts-time.Millisecond || got > c.counts {
				b.Errorf("taken for %v it lasts %v, want %v", c.asks, got, c.counts)
			}
			b.redis.mu.Unlock()
		}
	})
}

// TestTTLRaisedDuringRenewal asks for a longer TTL while a renewal for a shorter one
// is under way, and then is cut off: its answer must not be taken for the longer.
func TestTTLRaisedDuringRenewal(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		p := taking(1, 8)
		p.TTL = time.Second
		held := b.take(k, p)
		start := time.Now()
		s.change(func() { s.latency = func() time.Duration { return 20 * time.Millisecond } })
		time.Sleep(335 * time.Millisecond) // the renewal is under way
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		p.TTL = time.Minute
		faults := []fault{fine}
		s.change(func() {
			s.fault = func() fault {
				if len(faults) > 0 {
					faults = nil
					return fine // the renewal
				}
				return lostRequest
			}
		})
		b.want(ctx, k, p)
		<-held.Done()
		b.within("the loss is told", start, 1400*time.Millisecond)
		s.change(func() { s.fault = func() fault { return fine } })
	})
}

// TestShortAfterLong has a lease wait whose TTL is shorter than that of those
// before it in its process: it must not lose its turn for that.
func TestShortAfterLong(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		k3, _ := b.process()
		long, other := b.take(k1, taking(1, 2)), b.take(k2, taking(1, 2))
		p := taking(2, 2)
		p.TTL = time.Second
		short, first := b.want(b.Context(), k1, p)
		time.Sleep(10 * time.Millisecond)
		_, last := b.want(b.Context(), k3, taking(2, 2))
		time.Sleep(10 * time.Millisecond)
		long.Release()
		other.Release()
		b.gets("the first", first, time.Millisecond)
		b.waits("the last", last)
		short.Release()
		<-last
	})
}

// TestTryAmongOthers tries for what the process holds a part of.
func TestTryAmongOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		b.take(k, taking(2, 4))
		p := taking(2, 4)
		p.Try = true
		b.cost("a try", 1, 0, func() { b.take(k, p) })
		b.cost("a try in vain", 1, 0, func() {
			if err := new(Lease).Acquire(b.Context(), k, &p); err != ErrLocked {
				b.Error(err)
			}
			time.Sleep(time.Second)
		})
		b.uses(Semaphore, 4)
	})
}

// TestTryAndRelease gives back all that the process has while a try for more is
// under way, in vain: nothing must stay.
func TestTryAndRelease(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s := b.process()
		k2, _ := b.process()
		held := b.take(k1, taking(2, 4))
		b.take(k2, taking(2, 4))
		s.change(func() { s.latency = func() time.Duration { return 5 * time.Millisecond } })
		p := taking(2, 4)
		p.Try = true
		tried := make(chan error)
		go func() { tried <- new(Lease).Acquire(b.Context(), k1, &p) }()
		time.Sleep(7 * time.Millisecond) // it has been executed
		held.Release()
		if err := <-tried; err != ErrLocked {
			b.Error(err)
		}
		time.Sleep(time.Second)
		b.uses(Semaphore, 2)
	})
}

// TestBehindTry has a lease join behind a try that fails: it asks at once for
// what it needs itself. Nothing can be heard, so that no news would wake it.
func TestBehindTry(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s := b.process()
		k2, _ := b.process()
		k1.store = silent{s}
		b.take(k1, taking(1, 4))
		b.take(k2, taking(1, 4))
		s.change(func() { s.latency = func() time.Duration { return 5 * time.Millisecond } })
		p := taking(3, 4)
		p.Try = true
		tried := make(chan error)
		go func() { tried <- new(Lease).Acquire(b.Context(), k1, &p) }()
		synctest.Wait()
		_, got := b.want(b.Context(), k1, taking(1, 4))
		if err := <-tried; err != ErrLocked {
			b.Error(err)
		}
		b.gets("who joined", got, 11*time.Millisecond)
	})
}
