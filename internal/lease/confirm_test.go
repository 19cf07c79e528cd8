package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// eachConfirmed runs f for each primitive, with parameters of grants that a replica must confirm, and
// with those of an exclusive hold that needs no replica.
func eachConfirmed(t *testing.T, f func(e *env, p, plain Params)) {
	inBubbles(t, map[string][2]Params{
		"mutex": {params(time.Minute), params(time.Minute)}, "permits": {taking(2, 2), taking(2, 2)},
		"writer": {writing(time.Minute), writing(time.Minute)}, "reader": {reading(time.Minute), writing(time.Minute)},
	}, func(e *env, p [2]Params) {
		p[0].Replicas = 1
		f(e, p[0], p[1])
	})
}

// replicas sets the result of confirmations, and returns a function that counts them.
func (s *fakeStore) replicas(err error) (confirmations func() int) {
	n := 0
	s.change(func() {
		s.confirm = func() error { n++; return err }
	})
	return func() int { return locked(&s.mu, func() int { return n }) }
}

// A grant is confirmed once: by a request, by a message, or not again inside the process. Without
// replicas the call waits for them.
func TestGrantCountsOnceConfirmed(t *testing.T) {
	eachConfirmed(t, func(e *env, p, plain Params) {
		m, s, first, _ := e.twoProcesses()
		held := e.acquire(first, plain)
		confirmations := s.replicas(nil)
		l, got := e.request(e.Context(), m, p)
		e.checkWaits("behind the holder", got)
		time.Sleep(10 * ms)
		held.Release()
		e.checkGranted("by the message", got, ms)
		_, next := e.request(e.Context(), m, p)
		l.Release()
		e.checkGranted("the next of the process", next, 0)
		equal(e, "confirmations", confirmations(), 1)
		e.leases[len(e.leases)-1].Release()

		confirmations = s.replicas(ErrUnconfirmed)
		_, got = e.request(e.Context(), m, p)
		time.Sleep(10 * time.Second)
		e.checkWaits("without replicas", got)
		if n := confirmations(); n < 5 || n > 11 { // each takes ReplicaTimeout
			e.Errorf("%d confirmations in 10 s", n)
		}
		s.replicas(nil)
		e.checkGranted("with replicas", got, 2*time.Second)
	})
}

// A grant that is not confirmed is released before the call returns.
func TestUnconfirmedGrantIsReleased(t *testing.T) {
	eachConfirmed(t, func(e *env, p, _ Params) {
		m, s := e.process()
		for _, refused := range []error{errNetwork, ErrUnconfirmed} {
			s.replicas(refused)
			start := time.Now()
			e.checkError("a try", e.try(m, p), ErrUnconfirmed, refused)
			e.checkWithin("the failure of a try", start, client.MaxReplicaTimeout+ms)
			e.checkUsed(p.Kind, 0)
		}
		ctx, cancel := context.WithTimeout(e.Context(), 2500*ms)
		defer cancel()
		e.checkError("a wait", new(Lease).Acquire(ctx, m, &p), context.DeadlineExceeded, ErrUnconfirmed)
		time.Sleep(time.Second)
		e.checkUsed(p.Kind, 0)
	})
}

// A renewal that replicas do not confirm does not extend the lease, which is lost after its TTL.
func TestUnconfirmedRenewalDoesNotCount(t *testing.T) {
	eachConfirmed(t, func(e *env, p, _ Params) {
		m, s := e.process()
		p.TTL = 3 * time.Second
		l := e.acquire(m, p)
		time.Sleep(10 * time.Second) // several renewals
		e.checkError("the lease", l.Err())
		confirmations := s.replicas(ErrUnconfirmed)
		start := time.Now()
		<-l.Done()
		e.checkError("the lease", l.Err(), ErrLost)
		e.checkWithin("the loss", start, p.TTL)
		if n := confirmations(); n < 2 {
			e.Errorf("%d renewals tried", n)
		}
	})
}

// A lease that needs replicas does not share an unconfirmed hold. The hold itself stays.
func TestUnconfirmedHoldIsConfirmedBeforeItIsShared(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		confirmations := s.replicas(ErrUnconfirmed)
		plain := e.acquire(m, reading(time.Minute))
		p := reading(time.Minute)
		p.Replicas = 1
		e.checkError("a try", e.try(m, p), ErrUnconfirmed)
		e.checkError("the other reader", plain.Err())
		equal(e, "confirmations", confirmations(), 1)
		confirmations = s.replicas(nil)
		e.acquire(m, p)
		equal(e, "confirmations", confirmations(), 1)
	})
}
