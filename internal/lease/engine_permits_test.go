package lease

import (
	"context"
	"testing"
	"time"
)

// TestContentionNoticeBeforeReply delivers a contention notice of a writer before the reply to an earlier
// renewal, which reports no waiters. The reply must not clear the contention: no more readers join, and
// the writer is granted once the earlier readers have released.
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
		e.checkWaits("the writer", wrote)
		e.leases[1].Release()
		e.checkGranted("the writer", wrote, 200*time.Millisecond)
		e.checkWaits("a reader behind a writer", read)
		e.leases[2].Release()
		e.checkGranted("the reader", read, 200*time.Millisecond)
	})
}

func second(_ *Lease, c <-chan error) <-chan error { return c }

// TestUnknownWantSeq delivers messages that grant what the claim does not want, or no longer
// wants. They must not count.
func TestUnknownWantSeq(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		e.acquire(m1, taking(1, 3))
		e.acquire(m2, taking(2, 3))
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.request(ctx, m1, taking(2, 3))
		time.Sleep(MaxPollInterval / 3) // there is no further poll before the end
		h := Handover{Name: permitsKey, FenceBase: 1, Weight: 3}
		withClaim(m1, Semaphore, func(c *claim) { h.Token, h.Seq, h.WantSeq = c.token, c.requests.lastQueued(), c.want.seq })
		old := h
		old.WantSeq--
		m1.HandleMessage(old)
		e.checkWaits("the waiter", got)
		cancel()
		<-got
		time.Sleep(100 * ms)
		m1.HandleMessage(h)
		withClaim(m1, Semaphore, func(c *claim) {
			equal(e, "weights here and in Redis", [2]int64{c.hold.weight, c.redis.weight}, [2]int64{1, 1})
		})
	})
}

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
		for _, delay := range []time.Duration{-1, 10 * us, 100 * us, 5 * ms} { // of the message; -1 loses it
			for _, first := range []fault{fine, lostRequest, lostReply, twice, late} {
				for _, then := range []fault{fine, lostRequest, lostReply} {
					inBubble(t, func(e *env) { e.crossing(lag, delay, first, then) })
				}
			}
		}
	}
}

func (e *env) crossing(lag, delay time.Duration, faults ...fault) {
	m1, s1, m2, s2 := e.twoProcesses()
	freed, other := e.acquire(m1, taking(1, 4)), e.acquire(m2, taking(2, 4))
	kept := e.acquire(m1, taking(1, 4))
	more, got := e.request(e.Context(), m1, taking(2, 4))
	time.Sleep(time.Second)
	s2.delayMessages(delay)
	s1.nextFaults(faults...)
	time.AfterFunc(max(-lag, 0), func() { other.Release() })
	time.AfterFunc(max(lag, 0), func() { freed.Release() })
	e.checkError("the lease of more", <-got)
	time.Sleep(5 * time.Second)
	e.checkUsed(Semaphore, 3)
	withClaim(m1, Semaphore, func(c *claim) {
		equal(e, "weights here, in Redis and in use", [3]int64{c.hold.weight, c.redis.weight, c.hold.used}, [3]int64{3, 3, 3})
	})
	for _, l := range []*Lease{kept, more} {
		e.checkError("Release", l.Release())
	}
	time.Sleep(time.Second)
	if e.checkUsed(Semaphore, 0); e.Failed() {
		e.Fatalf("release after %v, message in %v, faults %v", lag, delay, faults)
	}
}

// TestMoreReadersThanFences lets more readers share a grant than it has fences. Their fences do not
// shrink, and the next writer's is greater.
func TestMoreReadersThanFences(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		e.withKey(Name{Kind: RWMutex, Key: "key"}, func(k *fakeKey) { k.last = time.Now().Add(time.Hour).UnixMicro() }) // the next is one more
		e.acquire(m, writing(time.Minute)).Release()
		last := e.leases[0].Fence() + 1
		for range FencesPerGrant + 10 {
			fence := e.acquire(m, reading(time.Minute)).Fence()
			if fence < last {
				e.Fatalf("fence %d after %d", fence, last)
			}
			last = fence
		}
		for _, l := range e.leases {
			l.Release()
		}
		if fence := e.acquire(m, writing(time.Minute)).Fence(); fence <= last {
			e.Errorf("a writer's fence is %d after %d of a reader", fence, last)
		}
	})
}
