package lease

import (
	"context"
	"testing"
	"time"
)

// losing acquires one of 3 permits, loses it while Redis is away, and waits until Redis is back.
func (e *env) losing(m *Manager, s *fakeStore) *Lease {
	e.Helper()
	p := taking(1, 3)
	p.TTL = time.Second
	lost := e.acquire(m, p)
	s.setFault(lostRequest)
	<-lost.Done()
	s.setFault(fine)
	time.Sleep(5 * time.Second)
	return lost
}

// TestReleaseOfALostLease releases a lease whose queue was removed. That must not affect the
// subscription and the new queue of the key, which other leases need.
func TestReleaseOfALostLease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		other, _ := e.process()
		lost := e.losing(m, s)
		mutex := Params{Kind: Mutex, Key: "other", TTL: time.Minute, Weight: 1}
		held := e.acquire(other, mutex)
		_, waits := e.request(e.Context(), m, mutex)
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

// TestUnconfirmedOfALostClaim loses a claim while it releases an unconfirmed grant. Its queue must be
// removed only once.
func TestUnconfirmedOfALostClaim(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		p := taking(1, 3)
		p.TTL = 3 * time.Second
		e.acquire(m, p)
		s.change(func() {
			s.confirm = func() error {
				s.fault = func() fault { return lostRequest }
				return ErrUnconfirmed
			}
		})
		p.Replicas, p.ReplicaTimeout = 1, 100*time.Millisecond
		ctx, cancel := context.WithCancel(e.Context())
		_, waits := e.request(ctx, m, p)
		time.Sleep(time.Second)
		cancel()
		<-waits
		time.Sleep(10 * time.Second)
		s.setFault(fine)
		time.Sleep(10 * time.Second)
		if !m.AtRest() {
			e.Error("the manager is not at rest")
		}
	})
}
