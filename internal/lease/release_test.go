package lease

import (
	"context"
	"testing"
	"time"
)

// losing takes one of 3 permits, loses it while Redis is away, and waits until Redis is back.
func (e *env) losing(m *Manager, s *fakeStore) *Lease {
	e.Helper()
	p := taking(1, 3)
	p.TTL = time.Second
	lost := e.take(m, p)
	s.always(lostRequest)
	<-lost.Done()
	s.always(fine)
	time.Sleep(5 * time.Second)
	return lost
}

// TestReleaseOfALostLease: the queue of the lease is gone, so its release must not touch what
// other leases of the process need: the subscription, and the new queue of the key.
func TestReleaseOfALostLease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		other, _ := e.process()
		lost := e.losing(m, s)
		mutex := Params{Kind: Mutex, Key: "other", TTL: time.Minute, Weight: 1}
		held := e.take(other, mutex)
		_, waits := e.want(e.Context(), m, mutex)
		again := e.take(m, taking(1, 3))
		time.Sleep(time.Second)
		ReleasePartial([]PartialRelease{{lost, 1}})
		time.Sleep(time.Second)
		if !m.Subscribed() {
			e.Error("the subscription was closed while a lease waits")
		}
		if l := e.take(m, taking(1, 3)); l.queue != again.queue {
			e.Error("the key has two queues")
		}
		_ = held.Release()
		e.gets("who waits", waits, time.Second)
	})
}

// TestUnconfirmedOfALostClaim: a claim is lost while it gives back what no replica confirmed. Its
// queue is removed once.
func TestUnconfirmedOfALostClaim(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		p := taking(1, 3)
		p.TTL = 3 * time.Second
		e.take(m, p)
		s.change(func() {
			s.confirm = func() error {
				s.fault = func() fault { return lostRequest }
				return ErrUnconfirmed
			}
		})
		p.Replicas, p.ReplicaTimeout = 1, 100*time.Millisecond
		ctx, cancel := context.WithCancel(e.Context())
		_, waits := e.want(ctx, m, p)
		time.Sleep(time.Second)
		cancel()
		<-waits
		time.Sleep(10 * time.Second)
		s.always(fine)
		time.Sleep(10 * time.Second)
		if !m.AtRest() {
			e.Error("the manager is not at rest")
		}
	})
}
