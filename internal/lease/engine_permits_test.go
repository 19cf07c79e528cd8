package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

func reading(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: 1, Size: ExclusiveWeight, Shared: true}
}

func writing(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: ExclusiveWeight, Size: ExclusiveWeight}
}

func taking(weight, size int64) Params {
	return Params{Kind: Semaphore, Key: "key", TTL: time.Minute, Weight: weight, Size: size}
}

func (e *env) take(m *Manager, p Params) *Lease {
	e.Helper()
	l := new(Lease)
	if err := l.Acquire(e.Context(), m, &p); err != nil {
		e.Fatal(err)
	}
	e.leases = append(e.leases, l)
	return l
}

// want requests a lease and returns a channel that yields when it is there.
func (e *env) want(ctx context.Context, m *Manager, p Params) (*Lease, <-chan error) {
	l, box := new(Lease), result.NewChan(result.ErrorOnly{})
	l.AcquireChan(ctx, m, &p, box)
	e.leases = append(e.leases, l)
	return l, box.C()
}

func (e *env) waits(what string, c <-chan error) {
	e.Helper()
	synctest.Wait()
	select {
	case err := <-c:
		e.Errorf("%s does not wait: %v", what, err)
	default:
	}
}

func (e *env) gets(what string, c <-chan error, bound time.Duration) {
	e.Helper()
	start := time.Now()
	select {
	case err := <-c:
		if err != nil {
			e.Errorf("%s: %v", what, err)
		}
	case <-time.After(time.Hour):
		e.Fatalf("%s does not get in", what)
	}
	e.within(what+" gets in", start, bound)
}

// used is what Redis has given out.
func (e *env) used(kind Kind) int64 {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	p := e.redis.permitsOf(Name{Kind: kind, Key: "key"})
	p.purge()
	return p.used
}

func (e *env) uses(kind Kind, want int64) {
	e.Helper()
	if got := e.used(kind); got != want {
		e.Errorf("%d permits in use, want %d", got, want)
	}
}

func (e *env) cost(what string, asks, renewals int, f func()) {
	e.Helper()
	e.redis.mu.Lock()
	a, r := e.redis.requests, e.redis.renewals
	e.redis.mu.Unlock()
	f()
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	if a, r = e.redis.requests-a, e.redis.renewals-r; a != asks || r != renewals {
		e.Errorf("%s costs %d requests and %d renewals, want %d and %d", what, a, r, asks, renewals)
	}
}

// claimOf returns the claim that k has on the key.
func claimOf(m *Manager, kind Kind) *claim {
	q := m.queueFor(Name{Kind: kind, Key: "key"})
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.claim
}

// TestWriterKeepsReadersOut has a writer wait elsewhere: by word, no more readers
// join, and it gets in when those that were there have left.
func TestWriterKeepsReadersOut(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		first := e.take(k1, reading(time.Minute))
		time.Sleep(2 * MinSlice)
		second := e.take(k1, reading(time.Minute))
		time.Sleep(time.Second)
		writer, wrote := e.want(e.Context(), k2, writing(time.Minute))
		time.Sleep(5 * time.Millisecond)
		_, read := e.want(e.Context(), k1, reading(time.Minute))
		e.waits("a reader that comes after a writer", read)
		first.Release()
		e.waits("the writer", wrote)
		second.Release()
		e.gets("the writer", wrote, time.Millisecond)
		e.waits("a reader that comes after a writer", read)
		writer.Release()
		e.gets("the reader", read, time.Millisecond)
	})
}

// TestContentionNoticeBeforeReply has word come while the answer to a renewal is under way
// that was given when nobody waited: the answer must not make it forgotten.
func TestContentionNoticeBeforeReply(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, _ := e.process()
		const ttl = 30 * time.Second
		e.take(k1, reading(ttl))
		time.Sleep(2 * MinSlice)
		e.take(k1, reading(ttl))
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
		line := claimOf(k1, RWMutex).queue
		line.mu.Lock()
		k1.mu.Lock()
		k1.RenewNow(line.claim, time.Now())
		k1.mu.Unlock()
		line.mu.Unlock()
		time.Sleep(50 * time.Millisecond) // the renewal has been executed
		_, wrote := e.want(e.Context(), k2, writing(ttl))
		time.Sleep(100 * time.Millisecond)
		_, read := e.want(e.Context(), k1, reading(ttl))
		e.waits("a reader that comes after a writer", read)
		e.leases[0].Release()
		e.leases[1].Release()
		e.gets("the writer", wrote, 200*time.Millisecond)
		e.leases[2].Release()
		<-read
	})
}

// TestWriterCancels has a writer give up that its process waits for, with readers
// behind it: they must not wait for all that it wanted.
func TestWriterCancels(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		e.take(k1, reading(time.Minute))
		ctx, cancel := context.WithCancel(e.Context())
		_, wrote := e.want(ctx, k2, writing(time.Minute))
		time.Sleep(time.Second)
		_, read := e.want(e.Context(), k2, reading(time.Minute))
		time.Sleep(time.Second)
		e.waits("a reader behind a writer", read)
		cancel()
		<-wrote
		e.gets("the reader", read, time.Millisecond)
		e.uses(RWMutex, 2)
	})
}

// TestUnknownWantSeq delivers messages for something that the claim does not want,
// or wants no more: they must not be credited.
func TestUnknownWantSeq(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		e.take(k1, taking(1, 3))
		other := e.take(k2, taking(2, 3))
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.want(ctx, k1, taking(2, 3))
		time.Sleep(MaxPollInterval / 3) // it does not ask again before the end
		c := claimOf(k1, Semaphore)
		h := Handover{Name: Name{Kind: Semaphore, Key: "key"}, Token: c.token, Seq: c.requests.lastQueued(), WantSeq: c.want.seq, FenceBase: 1, Weight: 3}
		old := h
		old.WantSeq--
		k1.HandleMessage(old)
		e.waits("who has asked", got)
		s2.tells(5 * time.Millisecond)
		go other.Release() // so that it is on the way when
		time.Sleep(time.Millisecond)
		e.uses(Semaphore, 3)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		k1.HandleMessage(h)
		e.uses(Semaphore, 1)
		if c.hold.weight != 1 || c.redis.weight != 1 {
			e.Errorf("the claim counts %d, and %d in Redis", c.hold.weight, c.redis.weight)
		}
		e.gets("another", second(e.want(e.Context(), k1, taking(2, 3))), 10*time.Millisecond)
	})
}

func second(_ *Lease, c <-chan error) <-chan error { return c }

// TestCancelledReplyLost has the answer lost by which a process would have got
// more, when nobody there wants that any more.
func TestCancelledReplyLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.take(m, taking(1, 3))
		ctx, cancel := context.WithCancel(e.Context())
		s.fails(lostReply)
		_, got := e.want(ctx, m, taking(2, 3))
		time.Sleep(70 * time.Microsecond) // it has been executed
		e.uses(Semaphore, 3)
		cancel()
		<-got
		time.Sleep(time.Second)
		e.uses(Semaphore, 1)
	})
}

// TestShrinkingCrossesHandOver gives up a permit while others are handed over to
// the same claim, and loses what can be lost: in the end Redis has what the
// process uses, and nothing less.
func TestShrinkingCrossesHandOver(t *testing.T) {
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
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, s2 := e.process()
		rest := e.take(k1, taking(1, 4))
		freed := e.take(k1, taking(1, 4))
		other := e.take(k2, taking(2, 4))
		more, got := e.want(e.Context(), k1, taking(2, 4))
		time.Sleep(time.Second)
		s2.tells(delay)
		s1.fails(faults...)
		go func() {
			time.Sleep(max(-lag, 0))
			other.Release()
		}()
		go func() {
			time.Sleep(max(lag, 0))
			freed.Release()
		}()
		if err := <-got; err != nil {
			e.Error(err)
		}
		time.Sleep(5 * time.Second)
		e.uses(Semaphore, 3)
		c := claimOf(k1, Semaphore)
		if rest.Err() != nil || more.Err() != nil || c.hold.weight != 3 || c.redis.weight != 3 || c.hold.used != 3 {
			e.Errorf("%v, %v; the claim counts %d, in Redis %d, in use %d", rest.Err(), more.Err(), c.hold.weight, c.redis.weight, c.hold.used)
		}
		for _, l := range []*Lease{rest, more} {
			if err := l.Release(); err != nil {
				e.Error(err)
			}
		}
		time.Sleep(time.Second)
		e.uses(Semaphore, 0)
		if e.Failed() {
			e.Fatalf("release after %v, message in %v, faults %v", lag, delay, faults)
		}
	})
}

// TestReleasesAtOnce releases several leases at the same time, while another is
// held: each tells Redis at most once.
func TestReleasesAtOnce(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		for range 5 {
			e.take(m, taking(1, 8))
		}
		e.cost("releasing four", 4, 0, func() {
			for _, l := range e.leases[1:] {
				go l.Release()
				synctest.Wait()
			}
			time.Sleep(time.Second)
		})
		e.uses(Semaphore, 1)
	})
}
