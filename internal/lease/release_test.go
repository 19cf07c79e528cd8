package lease

import (
	"testing"
	"time"
)

// TestReleaseOfALostLease releases a lease whose queue was removed. That must not affect the
// subscription and the new queue of the key, which other leases need.
func TestReleaseOfALostLease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s, other, _ := e.twoProcesses()
		p := taking(1, 3)
		p.TTL = time.Second
		lost := e.acquire(m, p)
		s.setFault(lostRequest)
		<-lost.Done()
		s.setFault(fine)
		time.Sleep(5 * time.Second)
		held := e.acquire(other, params(time.Minute))
		_, waits := e.request(e.Context(), m, params(time.Minute))
		again := e.acquire(m, taking(1, 3))
		time.Sleep(time.Second)
		ReleasePartial([]PartialRelease{{lost, 1}})
		time.Sleep(time.Second)
		if !m.Subscribed() {
			e.Error("the subscription was closed while a lease waits")
		}
		if l := e.acquire(m, taking(1, 3)); l.queue != again.queue {
			e.Error("the key has two queues")
		}
		_ = held.Release()
		e.checkGranted("the waiter", waits, time.Second)
	})
}
