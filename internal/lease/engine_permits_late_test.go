package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// TestRenewalOfEarlierHold receives the late reply to the renewal of a hold that was released
// since. The reply must not change the next hold.
func TestRenewalOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, s1, m2, _ := e.twoProcesses()
		held := e.acquire(m1, taking(1, 1))
		other, got2 := e.request(e.Context(), m2, taking(1, 1))
		time.Sleep(time.Second)
		mine, got1 := e.request(e.Context(), m1, taking(1, 1))
		time.Sleep(MaxPollInterval / 3)     // there is no further poll before the end
		s1.nextLatencies(5*ms, 0, 0, 50*ms) // the renewal, the update request, its reply, the reply to the renewal
		renewNow(m1, Semaphore)
		time.Sleep(ms)
		held.Release()
		e.checkGranted("the other", got2, ms)
		time.Sleep(10 * ms)
		other.Release()
		e.checkGranted("the next lease of this process", got1, ms)
		time.Sleep(100 * ms)
		e.checkError("the next lease", mine.Err())
		e.checkUsed(Semaphore, 1)
	})
}

// TestShrinkingOfEarlierHold does the same with an update request whose reply is that the hold is
// lost.
func TestShrinkingOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, s1, m2, _ := e.twoProcesses()
		s1.subscribe = func(ctx context.Context) *fakeStore { <-ctx.Done(); return nil } // delays the request that queues
		one, two := e.acquire(m1, taking(1, 4)), e.acquire(m1, taking(1, 4))
		other := e.acquire(m2, taking(2, 4))
		s1.nextFaults(lostRequest)
		// The request is executed when this process has released everything and waits. Its reply
		// arrives after the hand-over.
		s1.nextLatencies(450*ms, 0, 0, 0, 1500*ms)
		go two.Release()
		time.Sleep(ms)
		mine, got := e.request(e.Context(), m1, taking(3, 4))
		time.Sleep(ms)
		one.Release()
		time.Sleep(500 * ms)
		e.checkUsed(Semaphore, 2)
		other.Release()
		e.checkGranted("the next", got, client.SubscribeTimeout)
		time.Sleep(2 * time.Second)
		e.checkError("the next lease", mine.Err())
		e.checkUsed(Semaphore, 3)
	})
}

// TestWindowOfEarlierHold receives the reply to an update request after the hold that it kept was
// released. The reply must not extend the hold that was handed over since.
func TestWindowOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, s1, m2, _ := e.twoProcesses()
		one, two := e.acquire(m1, taking(1, 4)), e.acquire(m1, taking(1, 4))
		other := e.acquire(m2, taking(2, 4))
		s1.nextLatencies(0, time.Second)
		go two.Release()
		time.Sleep(ms)
		mine, got := e.request(e.Context(), m1, taking(3, 4))
		time.Sleep(100 * ms)
		one.Release()
		time.Sleep(100 * ms)
		other.Release()
		e.checkGranted("the next", got, ms)
		start := time.Now()
		s1.setFault(lostRequest)
		<-mine.Done()
		e.checkWithin("the loss", start, 3*MaxPollInterval)
		s1.setFault(fine)
	})
}

// TestWindowNeverShrinks receives an old reply after a newer one.
func TestWindowNeverShrinks(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		l := e.acquire(m, taking(1, 2))
		l.queue.mu.Lock()
		defer l.queue.mu.Unlock()
		before := l.claim.hold.window
		l.claim.extend(client.NewTrustWindow(time.Now().Add(-time.Second), time.Minute))
		if l.claim.hold.window != before {
			e.Error("the window has changed")
		}
	})
}

// TestJoinFindsAWaitingWriter lets a writer wait for readers whose process is subscribed, but not yet
// for these readers. The reader that joins then finds the writer, and later readers wait.
func TestJoinFindsAWaitingWriter(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		p := taking(1, 1)
		p.Key = "another"
		e.acquire(m1, reading(time.Minute))
		e.acquire(m2, p)
		e.request(e.Context(), m1, p)
		time.Sleep(time.Second)
		_, wrote := e.request(e.Context(), m2, writing(time.Minute))
		time.Sleep(2 * MinSlice)
		e.acquire(m1, reading(time.Minute))
		time.Sleep(ms)
		_, read := e.request(e.Context(), m1, reading(time.Minute))
		e.checkWaits("a reader behind a writer", read)
		e.leases[0].Release()
		e.leases[4].Release()
		e.checkGranted("the writer", wrote, ms)
		e.leases[3].Release()
		<-read
	})
}
