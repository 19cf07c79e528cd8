package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func reading(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: 1, Size: Writer, Shared: true}
}

func writing(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: Writer, Size: Writer}
}

func taking(weight, size int64) Params {
	return Params{Kind: Semaphore, Key: "key", TTL: time.Minute, Weight: weight, Size: size}
}

func (b *bench) take(k *Keeper, p Params) *Lease {
	b.Helper()
	l := new(Lease)
	if err := l.Acquire(b.Context(), k, &p); err != nil {
		b.Fatal(err)
	}
	b.leases = append(b.leases, l)
	return l
}

// want requests a lease and returns a channel that yields when it is there.
func (b *bench) want(ctx context.Context, k *Keeper, p Params) (*Lease, <-chan error) {
	l, box := new(Lease), NewBox(Bare{})
	l.AcquireChan(ctx, k, &p, box)
	b.leases = append(b.leases, l)
	return l, box.C()
}

func (b *bench) waits(what string, c <-chan error) {
	b.Helper()
	synctest.Wait()
	select {
	case err := <-c:
		b.Errorf("%s does not wait: %v", what, err)
	default:
	}
}

func (b *bench) gets(what string, c <-chan error, bound time.Duration) {
	b.Helper()
	start := time.Now()
	select {
	case err := <-c:
		if err != nil {
			b.Errorf("%s: %v", what, err)
		}
	case <-time.After(time.Hour):
		b.Fatalf("%s does not get in", what)
	}
	b.within(what+" gets in", start, bound)
}

// used is what Redis has given out.
func (b *bench) used(kind Kind) int64 {
	b.redis.mu.Lock()
	defer b.redis.mu.Unlock()
	p := b.redis.permitsOf(Name{kind, "key"})
	p.purge()
	return p.used
}

func (b *bench) uses(kind Kind, want int64) {
	b.Helper()
	if got := b.used(kind); got != want {
		b.Errorf("%d permits in use, want %d", got, want)
	}
}

func (b *bench) cost(what string, asks, renewals int, f func()) {
	b.Helper()
	b.redis.mu.Lock()
	a, r := b.redis.asks, b.redis.renewals
	b.redis.mu.Unlock()
	f()
	b.redis.mu.Lock()
	defer b.redis.mu.Unlock()
	if a, r = b.redis.asks-a, b.redis.renewals-r; a != asks || r != renewals {
		b.Errorf("%s costs %d requests and %d renewals, want %d and %d", what, a, r, asks, renewals)
	}
}

// claimOf returns the claim that k has on the key.
func claimOf(k *Keeper, kind Kind) *claim {
	l := k.line(Name{kind, "key"})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claim
}

// TestReadersShare lets readers of one process join: within the quantum for
// nothing, and later for the subscription and one renewal in all.
func TestReadersShare(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		b.cost("two readers", 1, 0, func() {
			b.take(k, reading(time.Minute))
			b.take(k, reading(time.Minute))
		})
		time.Sleep(2 * Quantum)
		b.cost("readers that come later", 0, 1, func() {
			for range 5 {
				b.take(k, reading(time.Minute))
				time.Sleep(time.Second)
			}
		})
		b.uses(RWMutex, 1)
		for _, l := range b.leases {
			if err := l.Release(); err != nil {
				b.Error(err)
			}
		}
		b.uses(RWMutex, 0)
	})
}

// TestWriterKeepsReadersOut has a writer wait elsewhere: by word, no more readers
// join, and it gets in when those that were there have left.
func TestWriterKeepsReadersOut(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		first := b.take(k1, reading(time.Minute))
		time.Sleep(2 * Quantum)
		second := b.take(k1, reading(time.Minute))
		time.Sleep(time.Second)
		writer, wrote := b.want(b.Context(), k2, writing(time.Minute))
		time.Sleep(5 * time.Millisecond)
		_, read := b.want(b.Context(), k1, reading(time.Minute))
		b.waits("a reader that comes after a writer", read)
		first.Release()
		b.waits("the writer", wrote)
		second.Release()
		b.gets("the writer", wrote, time.Millisecond)
		b.waits("a reader that comes after a writer", read)
		writer.Release()
		b.gets("the reader", read, time.Millisecond)
	})
}

// TestWordLost leaves it to the next renewal.
func TestWordLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, s2 := b.process()
		s2.message = func() (int, time.Duration) { return 0, 0 }
		const ttl = 30 * time.Second
		first := b.take(k1, reading(ttl))
		time.Sleep(2 * Quantum)
		second := b.take(k1, reading(ttl))
		time.Sleep(time.Second)
		_, wrote := b.want(b.Context(), k2, writing(ttl))
		time.Sleep(time.Second)
		_, read := b.want(b.Context(), k1, reading(ttl))
		b.gets("a reader that has not heard", read, 0)
		time.Sleep(ttl / 3)
		_, read = b.want(b.Context(), k1, reading(ttl))
		b.waits("a reader after the renewal", read)
		first.Release()
		second.Release()
		b.leases[3].Release()
		b.gets("the writer", wrote, PollBound+time.Millisecond)
	})
}

// TestWordBeforeAnswer has word come while the answer to a renewal is under way
// that was given when nobody waited: the answer must not make it forgotten.
func TestWordBeforeAnswer(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		const ttl = 30 * time.Second
		b.take(k1, reading(ttl))
		time.Sleep(2 * Quantum)
		b.take(k1, reading(ttl))
		time.Sleep(time.Second)
		back := false
		s1.change(func() {
			s1.latency = func() time.Duration {
				if back = !back; back {
					return 0
				}
				return 100 * time.Millisecond
			}
		})
		line := claimOf(k1, RWMutex).line
		line.mu.Lock()
		k1.mu.Lock()
		k1.hasten(line.claim, time.Now())
		k1.mu.Unlock()
		line.mu.Unlock()
		time.Sleep(50 * time.Millisecond) // the renewal has been executed
		_, wrote := b.want(b.Context(), k2, writing(ttl))
		time.Sleep(100 * time.Millisecond)
		_, read := b.want(b.Context(), k1, reading(ttl))
		b.waits("a reader that comes after a writer", read)
		b.leases[0].Release()
		b.leases[1].Release()
		b.gets("the writer", wrote, 200*time.Millisecond)
		b.leases[2].Release()
		<-read
	})
}

// TestLastReaderAndOwnWriter releases the last reader while a writer of the same
// process asks: it must not wait for what its own process has given up. Nothing
// can be heard, so that no news would wake it.
func TestLastReaderAndOwnWriter(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		k.store = silent{s}
		reader := b.take(k, reading(time.Minute))
		s.change(func() { s.latency = func() time.Duration { return 5 * time.Millisecond } })
		_, wrote := b.want(b.Context(), k, writing(time.Minute))
		time.Sleep(7 * time.Millisecond) // its request has been executed
		reader.Release()
		b.gets("the writer", wrote, 20*time.Millisecond)
	})
}

// silent never says whether it hears.
type silent struct{ Store }

func (silent) Listen(ctx context.Context, _ Listener) { <-ctx.Done() }

// TestWriterGivesUp has a writer give up that its process waits for, with readers
// behind it: they must not wait for all that it wanted.
func TestWriterGivesUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		b.take(k1, reading(time.Minute))
		ctx, cancel := context.WithCancel(b.Context())
		_, wrote := b.want(ctx, k2, writing(time.Minute))
		time.Sleep(time.Second)
		_, read := b.want(b.Context(), k2, reading(time.Minute))
		time.Sleep(time.Second)
		b.waits("a reader behind a writer", read)
		cancel()
		<-wrote
		b.gets("the reader", read, time.Millisecond)
		b.uses(RWMutex, 2)
	})
}

// TestStrangeOrder delivers messages for something that the claim does not want,
// or wants no more: they must not be credited.
func TestStrangeOrder(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, s2 := b.process()
		b.take(k1, taking(1, 3))
		other := b.take(k2, taking(2, 3))
		ctx, cancel := context.WithCancel(b.Context())
		_, got := b.want(ctx, k1, taking(2, 3))
		time.Sleep(PollBound / 3) // it does not ask again before the end
		c := claimOf(k1, Semaphore)
		h := Handover{Name: Name{Semaphore, "key"}, Token: c.token, N: c.queued, Order: c.order, Base: 1, Weight: 3}
		old := h
		old.Order--
		(&hearing{k1, b.Context()}).Heard(old)
		b.waits("who has asked", got)
		s2.change(func() { s2.message = func() (int, time.Duration) { return 1, 5 * time.Millisecond } })
		go other.Release() // so that it is on the way when
		time.Sleep(time.Millisecond)
		b.uses(Semaphore, 3)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		(&hearing{k1, b.Context()}).Heard(h)
		b.uses(Semaphore, 1)
		if c.weight != 1 || c.known != 1 {
			b.Errorf("the claim counts %d, and %d in Redis", c.weight, c.known)
		}
		b.gets("another", second(b.want(b.Context(), k1, taking(2, 3))), 10*time.Millisecond)
	})
}

func second(_ *Lease, c <-chan error) <-chan error { return c }

// TestGivenUpAnswerLost has the answer lost by which a process would have got
// more, when nobody there wants that any more.
func TestGivenUpAnswerLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		b.take(k, taking(1, 3))
		ctx, cancel := context.WithCancel(b.Context())
		faults := []fault{lostReply}
		s.change(func() {
			s.fault = func() (f fault) {
				if len(faults) > 0 {
					f, faults = faults[0], faults[1:]
				}
				return f
			}
		})
		_, got := b.want(ctx, k, taking(2, 3))
		time.Sleep(70 * time.Microsecond) // it has been executed
		b.uses(Semaphore, 3)
		cancel()
		<-got
		time.Sleep(time.Second)
		b.uses(Semaphore, 1)
	})
}

// TestLoweringCrossesHandOver gives up a permit while others are handed over to
// the same claim, and loses what can be lost: in the end Redis has what the
// process uses, and nothing less.
func TestLoweringCrossesHandOver(t *testing.T) {
	const us = time.Microsecond
	for _, lag := range []time.Duration{-60 * us, 0, 20 * us, 60 * us, 120 * us} { // of the release, behind the hand-over
		for _, delay := range []time.Duration{-1, 10 * us, 100 * us, 5 * time.Millisecond} { // of the message; -1: lost
			for _, first := range []fault{fine, lostRequest, lostReply, twice, late} {
				for _, then := range []fault{fine, lostRequest, lostReply} {
					crossing(t, lag, delay, first, then)
				}
			}
		}
	}
}

func crossing(t *testing.T, lag, delay time.Duration, faults ...fault) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, s2 := b.process()
		rest := b.take(k1, taking(1, 4))
		freed := b.take(k1, taking(1, 4))
		other := b.take(k2, taking(2, 4))
		more, got := b.want(b.Context(), k1, taking(2, 4))
		time.Sleep(time.Second)
		s2.change(func() {
			s2.message = func() (int, time.Duration) {
				if delay < 0 {
					return 0, 0
				}
				return 1, delay
			}
		})
		left := faults
		s1.change(func() {
			s1.fault = func() (f fault) {
				if len(left) > 0 {
					f, left = left[0], left[1:]
				}
				return f
			}
		})
		go func() {
			time.Sleep(max(-lag, 0))
			other.Release()
		}()
		go func() {
			time.Sleep(max(lag, 0))
			freed.Release()
		}()
		if err := <-got; err != nil {
			b.Error(err)
		}
		time.Sleep(5 * time.Second)
		b.uses(Semaphore, 3)
		c := claimOf(k1, Semaphore)
		if rest.Err() != nil || more.Err() != nil || c.weight != 3 || c.known != 3 || c.used != 3 {
			b.Errorf("%v, %v; the claim counts %d, in Redis %d, in use %d", rest.Err(), more.Err(), c.weight, c.known, c.used)
		}
		for _, l := range []*Lease{rest, more} {
			if err := l.Release(); err != nil {
				b.Error(err)
			}
		}
		time.Sleep(time.Second)
		b.uses(Semaphore, 0)
		if b.Failed() {
			b.Fatalf("release after %v, message in %v, faults %v", lag, delay, faults)
		}
	})
}

// TestReleasesCross has the release of a whole claim overtake the statement that
// a part of it has been given up: that is no loss.
func TestReleasesCross(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		one, two := b.take(k, taking(1, 4)), b.take(k, taking(1, 4))
		travels := []time.Duration{10 * time.Millisecond}
		s.change(func() {
			s.latency = func() (d time.Duration) {
				if len(travels) > 0 {
					d, travels = travels[0], travels[1:]
				}
				return d
			}
		})
		released := make(chan error)
		go func() { released <- one.Release() }()
		synctest.Wait()
		if err := two.Release(); err != nil {
			b.Error(err)
		}
		if err := <-released; err != nil {
			b.Error(err)
		}
	})
}

// TestReleasesAtOnce releases several leases at the same time, while another is
// held: each tells Redis at most once.
func TestReleasesAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		for range 5 {
			b.take(k, taking(1, 8))
		}
		b.cost("releasing four", 4, 0, func() {
			for _, l := range b.leases[1:] {
				go l.Release()
				synctest.Wait()
			}
			time.Sleep(time.Second)
		})
		b.uses(Semaphore, 1)
	})
}
