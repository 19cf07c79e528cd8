package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// travels makes the next requests and replies of a process take as long as ds says,
// each in its turn, and those after them no time.
func (s *fakeStore) travels(ds ...time.Duration) {
	s.change(func() {
		s.latency = func() (d time.Duration) {
			if len(ds) > 0 {
				d, ds = ds[0], ds[1:]
			}
			return d
		}
	})
}

const ms = time.Millisecond

// TestRenewalOfEarlierHold has the answer to a renewal come late, that of a hold
// which has been given back since: it says nothing about the next one.
func TestRenewalOfEarlierHold(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		held := b.take(k1, taking(1, 1))
		other, got2 := b.want(b.Context(), k2, taking(1, 1))
		time.Sleep(time.Second)
		mine, got1 := b.want(b.Context(), k1, taking(1, 1))
		time.Sleep(PollBound / 3)     // it does not ask again before the end
		s1.travels(5*ms, 0, 0, 50*ms) // the renewal, to there; the statement and its answer; the renewal's answer
		line := claimOf(k1, Semaphore).line
		line.mu.Lock()
		k1.mu.Lock()
		k1.hasten(line.claim, time.Now())
		k1.mu.Unlock()
		line.mu.Unlock()
		time.Sleep(ms)
		held.Release()
		b.gets("the other", got2, ms)
		time.Sleep(10 * ms)
		other.Release()
		b.gets("the next here", got1, ms)
		time.Sleep(100 * ms)
		if mine.Err() != nil {
			b.Error(mine.Err())
		}
		b.uses(Semaphore, 1)
	})
}

// TestLoweringOfEarlierHold does the same with a statement that is told that what
// it keeps is gone.
func TestLoweringOfEarlierHold(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		k1.store = silent{s1} // so that it is some time until it queues
		one, two := b.take(k1, taking(1, 4)), b.take(k1, taking(1, 4))
		other := b.take(k2, taking(2, 4))
		faults := []fault{lostRequest}
		s1.change(func() {
			s1.fault = func() (f fault) {
				if len(faults) > 0 {
					f, faults = faults[0], faults[1:]
				}
				return f
			}
		})
		// It is executed when the others have given up all, and wait; it is answered
		// when they have it.
		s1.travels(450*ms, 0, 0, 0, 1500*ms)
		go two.Release()
		time.Sleep(ms)
		mine, got := b.want(b.Context(), k1, taking(3, 4))
		time.Sleep(ms)
		one.Release()
		time.Sleep(500 * ms)
		b.uses(Semaphore, 2)
		other.Release()
		b.gets("the next", got, patience)
		time.Sleep(2 * time.Second)
		if mine.Err() != nil {
			b.Error(mine.Err())
		}
		b.uses(Semaphore, 3)
	})
}

// TestWindowOfEarlierHold has the good answer to a statement come when what that
// kept has been given back: what was handed over since lasts no longer for it.
func TestWindowOfEarlierHold(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		one, two := b.take(k1, taking(1, 4)), b.take(k1, taking(1, 4))
		other := b.take(k2, taking(2, 4))
		s1.travels(0, time.Second)
		go two.Release()
		time.Sleep(ms)
		mine, got := b.want(b.Context(), k1, taking(3, 4))
		time.Sleep(100 * ms)
		one.Release()
		time.Sleep(100 * ms)
		other.Release()
		b.gets("the next", got, ms)
		start := time.Now()
		s1.change(func() { s1.fault = func() fault { return lostRequest } })
		<-mine.Done()
		b.within("the loss is told", start, 3*PollBound)
		s1.change(func() { s1.fault = func() fault { return fine } })
	})
}

// TestLoweringAndNextRequest has the answer to a statement, by which nothing was
// wanted any more, come when the next one has already entered the line: what that
// has made there must not be forgotten when it is given up, too.
func TestLoweringAndNextRequest(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		b.take(k1, taking(1, 3))
		other := b.take(k2, taking(2, 3))
		ctx1, cancel1 := context.WithCancel(b.Context())
		_, got1 := b.want(ctx1, k1, taking(2, 3))
		time.Sleep(time.Second)
		s1.travels(0, 20*ms, 0, 20*ms)
		cancel1()
		time.Sleep(ms) // it has been lowered, and the asker has ended
		ctx2, cancel2 := context.WithCancel(b.Context())
		_, got2 := b.want(ctx2, k1, taking(2, 3))
		time.Sleep(25 * ms) // both are answered
		cancel2()
		for _, c := range []<-chan error{got1, got2} {
			if err := <-c; !errors.Is(err, context.Canceled) {
				b.Error(err)
			}
		}
		time.Sleep(50 * ms)
		other.Release()
		time.Sleep(50 * ms)
		b.uses(Semaphore, 1)
	})
}

// TestLoweringGivenUp cannot tell Redis of a permit before the release gives up,
// while renewals get through: it is told when it can be.
func TestLoweringGivenUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		away := &counting{Store: s}
		k.store = away
		p := taking(1, 4)
		p.TTL = time.Second
		b.take(k, p)
		freed := b.take(k, p)
		away.fail(errNetwork)
		if err := freed.Release(); !errors.Is(err, errNetwork) {
			b.Error(err)
		}
		b.uses(Semaphore, 2)
		away.fail(nil)
		time.Sleep(p.TTL)
		b.uses(Semaphore, 1)
	})
}

// TestRepeatedRaises takes and gives back more leases than a grant has fences for,
// while another of the claim is held: each costs its two requests.
func TestRepeatedRaises(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		b.take(k, taking(1, 2))
		const n = Block + 10
		b.cost("taking a second one", 2*n, 0, func() {
			for range n {
				l := new(Lease)
				if err := l.Acquire(b.Context(), k, new(taking(1, 2))); err != nil {
					b.Fatal(err)
				}
				l.Release()
			}
		})
	})
}

// TestReaderWithLongerTTL joins readers whose TTL is shorter: that is raised.
func TestReaderWithLongerTTL(t *testing.T) {
	for _, later := range []time.Duration{0, 2 * Quantum} {
		inBubble(t, func(b *bench) {
			k, _ := b.process()
			b.take(k, reading(time.Second))
			time.Sleep(later)
			l := b.take(k, reading(time.Minute))
			b.redis.mu.Lock()
			defer b.redis.mu.Unlock()
			h := b.redis.permitsOf(Name{RWMutex, "key"}).hold(l.claim.token)
			if left := h.expires - nowMilli(); left < 59_000 {
				b.Errorf("it lasts %d ms", left)
			}
		})
	}
}

// TestShortAfterLongThatGaveUp asks for less, and for less long, than one who has
// given up: that one's TTL does not count.
func TestShortAfterLongThatGaveUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		other := b.take(k2, taking(2, 2))
		ctx, cancel := context.WithCancel(b.Context())
		b.want(ctx, k1, taking(2, 2))
		p := taking(1, 2)
		p.TTL = time.Second
		l, got := b.want(b.Context(), k1, p)
		time.Sleep(time.Second)
		cancel()
		time.Sleep(10 * ms)
		other.Release()
		b.gets("the short one", got, ms)
		synctest.Wait()
		b.redis.mu.Lock()
		defer b.redis.mu.Unlock()
		if h := b.redis.permitsOf(Name{Semaphore, "key"}).hold(l.claim.token); h.ttl != 1000 {
			b.Errorf("its TTL is %d ms", h.ttl)
		}
	})
}

// TestWindowNeverShrinks has an old answer come after a newer one.
func TestWindowNeverShrinks(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		l := b.take(k, taking(1, 2))
		l.line.mu.Lock()
		defer l.line.mu.Unlock()
		before := l.claim.trust
		l.claim.extend(newWindow(time.Now().Add(-time.Second), time.Minute))
		if l.claim.trust != before {
			b.Error("it did")
		}
	})
}

// TestJoinWhileListening has a writer begin to wait for readers whose process does
// listen, but not yet for them: who joins then finds that out for those to come.
func TestJoinWhileListening(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		p := taking(1, 1)
		p.Key = "another"
		b.take(k1, reading(time.Minute))
		b.take(k2, p)
		b.want(b.Context(), k1, p)
		time.Sleep(time.Second)
		_, wrote := b.want(b.Context(), k2, writing(time.Minute))
		time.Sleep(2 * Quantum)
		b.take(k1, reading(time.Minute))
		time.Sleep(ms)
		_, read := b.want(b.Context(), k1, reading(time.Minute))
		b.waits("a reader that comes after a writer", read)
		b.leases[0].Release()
		b.leases[4].Release()
		b.gets("the writer", wrote, ms)
		b.leases[3].Release()
		<-read
	})
}
