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

func (e *env) acquire(m *Manager, p Params) *Lease {
	e.Helper()
	l := new(Lease)
	if err := l.Acquire(e.Context(), m, &p); err != nil {
		e.Fatal(err)
	}
	e.leases = append(e.leases, l)
	return l
}

// request requests a lease, and returns a channel that receives the result.
func (e *env) request(ctx context.Context, m *Manager, p Params) (*Lease, <-chan error) {
	l, results := new(Lease), result.NewChan(result.ErrorOnly{})
	l.AcquireChan(ctx, m, &p, results)
	e.leases = append(e.leases, l)
	return l, results.C()
}

func (e *env) checkWaits(what string, c <-chan error) {
	e.Helper()
	synctest.Wait()
	select {
	case err := <-c:
		e.Errorf("%s does not wait: %v", what, err)
	default:
	}
}

func (e *env) checkGranted(what string, c <-chan error, bound time.Duration) {
	e.Helper()
	start := time.Now()
	select {
	case err := <-c:
		if err != nil {
			e.Errorf("%s: %v", what, err)
		}
	case <-time.After(time.Hour):
		e.Fatalf("%s is not granted", what)
	}
	e.checkWithin(what+" is granted", start, bound)
}

// try tries to acquire p, and returns the error.
func (e *env) try(m *Manager, p Params) error {
	p.Try = true
	l := new(Lease)
	e.leases = append(e.leases, l)
	return l.Acquire(e.Context(), m, &p)
}

// used returns how many permits are granted in Redis.
func (e *env) used(kind Kind) int64 {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	p := e.redis.permitsOf(Name{Kind: kind, Key: "key"})
	p.purge()
	return p.used
}

func (e *env) checkUsed(kind Kind, want int64) {
	e.Helper()
	if got := e.used(kind); got != want {
		e.Errorf("%d permits in use, want %d", got, want)
	}
}

// checkCost checks the number of requests that f sends. It must send no renewal.
func (e *env) checkCost(what string, requests int, f func()) {
	e.Helper()
	before := e.redis.counted()
	f()
	after := e.redis.counted()
	if n, renewals := after.requests-before.requests, after.renewals-before.renewals; n != requests || renewals != 0 {
		e.Errorf("%s costs %d requests and %d renewals, want %d and 0", what, n, renewals, requests)
	}
}

// TestWriterKeepsReadersOut lets a writer of another process wait. After its contention notice no
// more readers join, and the writer is granted once the earlier readers have released.
func TestWriterKeepsReadersOut(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		first := e.acquire(m1, reading(time.Minute))
		time.Sleep(2 * MinSlice)
		second := e.acquire(m1, reading(time.Minute))
		time.Sleep(time.Second)
		writer, wrote := e.request(e.Context(), m2, writing(time.Minute))
		time.Sleep(5 * time.Millisecond)
		_, read := e.request(e.Context(), m1, reading(time.Minute))
		e.checkWaits("a reader behind a writer", read)
		first.Release()
		e.checkWaits("the writer", wrote)
		second.Release()
		e.checkGranted("the writer", wrote, time.Millisecond)
		e.checkWaits("a reader behind a writer", read)
		writer.Release()
		e.checkGranted("the reader", read, time.Millisecond)
	})
}

// TestContentionNoticeBeforeReply delivers a contention notice before the reply to an earlier
// renewal, which reports no waiters. The reply must not clear the contention.
func TestContentionNoticeBeforeReply(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, s1, m2, _ := e.twoProcesses()
		const ttl = 30 * time.Second
		e.acquire(m1, reading(ttl))
		time.Sleep(2 * MinSlice)
		e.acquire(m1, reading(ttl))
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
		renewNow(m1, RWMutex)
		time.Sleep(50 * time.Millisecond) // the renewal has been executed
		_, wrote := e.request(e.Context(), m2, writing(ttl))
		time.Sleep(100 * time.Millisecond)
		_, read := e.request(e.Context(), m1, reading(ttl))
		e.checkWaits("a reader behind a writer", read)
		e.leases[0].Release()
		e.leases[1].Release()
		e.checkGranted("the writer", wrote, 200*time.Millisecond)
		e.leases[2].Release()
		<-read
	})
}

// TestWriterCancels cancels the writer that its process waits for. The readers behind it must not
// wait for the writer's weight.
func TestWriterCancels(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		e.acquire(m1, reading(time.Minute))
		ctx, cancel := context.WithCancel(e.Context())
		_, wrote := e.request(ctx, m2, writing(time.Minute))
		time.Sleep(time.Second)
		_, read := e.request(e.Context(), m2, reading(time.Minute))
		time.Sleep(time.Second)
		e.checkWaits("a reader behind a writer", read)
		cancel()
		<-wrote
		e.checkGranted("the reader", read, time.Millisecond)
		e.checkUsed(RWMutex, 2)
	})
}

// TestUnknownWantSeq delivers messages that grant what the claim does not want, or no longer
// wants. They must not count.
func TestUnknownWantSeq(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		e.acquire(m1, taking(1, 3))
		other := e.acquire(m2, taking(2, 3))
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.request(ctx, m1, taking(2, 3))
		time.Sleep(MaxPollInterval / 3) // there is no further poll before the end
		c := claimOf(m1, Semaphore)
		h := Handover{Name: Name{Kind: Semaphore, Key: "key"}, Token: c.token, Seq: c.requests.lastQueued(), WantSeq: c.want.seq, FenceBase: 1, Weight: 3}
		old := h
		old.WantSeq--
		m1.HandleMessage(old)
		e.checkWaits("the waiter", got)
		s2.delayMessages(5 * time.Millisecond)
		go other.Release()
		time.Sleep(time.Millisecond)
		e.checkUsed(Semaphore, 3)
		cancel() // while the message is in flight
		if err := <-got; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		m1.HandleMessage(h)
		e.checkUsed(Semaphore, 1)
		if c.hold.weight != 1 || c.redis.weight != 1 {
			e.Errorf("the claim has weight %d, and %d in Redis", c.hold.weight, c.redis.weight)
		}
		e.checkGranted("another", second(e.request(e.Context(), m1, taking(2, 3))), 10*time.Millisecond)
	})
}

func second(_ *Lease, c <-chan error) <-chan error { return c }

// TestCancelledReplyLost loses the reply that grants more permits, and cancels their request. They
// must not stay granted.
func TestCancelledReplyLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.acquire(m, taking(1, 3))
		ctx, cancel := context.WithCancel(e.Context())
		s.nextFaults(lostReply)
		_, got := e.request(ctx, m, taking(2, 3))
		time.Sleep(70 * time.Microsecond) // the request has been executed
		e.checkUsed(Semaphore, 3)
		cancel()
		<-got
		time.Sleep(time.Second)
		e.checkUsed(Semaphore, 1)
	})
}

// TestShrinkingCrossesHandOver releases a permit while others are handed over to the same claim,
// with every fault. In the end Redis must have exactly what the process uses.
func TestShrinkingCrossesHandOver(t *testing.T) {
	const us = time.Microsecond
	for _, lag := range []time.Duration{-60 * us, 0, 20 * us, 60 * us, 120 * us} { // from the hand-over to the release
		for _, delay := range []time.Duration{-1, 10 * us, 100 * us, 5 * time.Millisecond} { // of the message; -1 loses it
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
		m1, s1, m2, s2 := e.twoProcesses()
		kept := e.acquire(m1, taking(1, 4))
		freed := e.acquire(m1, taking(1, 4))
		other := e.acquire(m2, taking(2, 4))
		more, got := e.request(e.Context(), m1, taking(2, 4))
		time.Sleep(time.Second)
		s2.delayMessages(delay)
		s1.nextFaults(faults...)
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
		e.checkUsed(Semaphore, 3)
		c := claimOf(m1, Semaphore)
		if kept.Err() != nil || more.Err() != nil || c.hold.weight != 3 || c.redis.weight != 3 || c.hold.used != 3 {
			e.Errorf("%v, %v; the claim has weight %d, %d in Redis, %d in use", kept.Err(), more.Err(), c.hold.weight, c.redis.weight, c.hold.used)
		}
		for _, l := range []*Lease{kept, more} {
			if err := l.Release(); err != nil {
				e.Error(err)
			}
		}
		time.Sleep(time.Second)
		e.checkUsed(Semaphore, 0)
		if e.Failed() {
			e.Fatalf("release after %v, message in %v, faults %v", lag, delay, faults)
		}
	})
}

// TestReleasesAtOnce releases several leases at the same time, while another is held. Each release
// sends at most one request.
func TestReleasesAtOnce(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		for range 5 {
			e.acquire(m, taking(1, 8))
		}
		e.checkCost("releasing four", 4, func() {
			for _, l := range e.leases[1:] {
				go l.Release()
				synctest.Wait()
			}
			time.Sleep(time.Second)
		})
		e.checkUsed(Semaphore, 1)
	})
}
