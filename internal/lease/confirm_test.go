package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// confirmed returns parameters of each primitive whose grants a replica must confirm.
func confirmed() map[string]Params {
	all := map[string]Params{"mutex": params(time.Minute), "semaphore": taking(2, 2), "writer": writing(time.Minute), "reader": reading(time.Minute)}
	for name, p := range all {
		p.Replicas = 1
		all[name] = p
	}
	return all
}

// replicas sets the result of confirmations, and returns a function that counts them.
func (s *fakeStore) replicas(err error) (confirmations func() int) {
	n := 0
	s.change(func() {
		s.confirm = func() error { n++; return err }
	})
	return func() (now int) {
		s.change(func() { now = n })
		return now
	}
}

// checkFree checks that a try of another process, which needs no replica, succeeds.
func (e *env) checkFree(what string, p Params) {
	e.Helper()
	m, _ := e.process()
	if p.Replicas = 0; p.Kind == RWMutex {
		p.Weight, p.Shared = ExclusiveWeight, false
	}
	if err := e.try(m, p); err != nil {
		e.Errorf("%s: the lock is not free: %v", what, err)
		return
	}
	e.leases[len(e.leases)-1].Release()
}

func TestGrantCountsOnceConfirmed(t *testing.T) {
	inBubbles(t, confirmed(), func(e *env, p Params) {
		m, s := e.process()
		confirmations := s.replicas(nil)
		l := e.acquire(m, p)
		if n := confirmations(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
		l.Release()

		confirmations = s.replicas(ErrUnconfirmed)
		start := time.Now()
		_, got := e.request(e.Context(), m, p)
		time.Sleep(10 * time.Second)
		e.checkWaits("without replicas", got)
		if n := confirmations(); n < 5 || n > 11 { // each takes ReplicaTimeout
			e.Errorf("%d confirmations in %v", n, time.Since(start))
		}
		s.replicas(nil)
		e.checkGranted("with replicas", got, 2*time.Second)
	})
}

// A grant that is not confirmed is released before the call returns.
func TestUnconfirmedGrantIsReleased(t *testing.T) {
	inBubbles(t, confirmed(), func(e *env, p Params) {
		m, s := e.process()
		for _, refused := range []error{errNetwork, ErrUnconfirmed} {
			s.replicas(refused)
			start := time.Now()
			if err := e.try(m, p); !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, refused) {
				e.Errorf("a try: %v", err)
			}
			e.checkWithin("the failure of a try", start, client.MaxReplicaTimeout+time.Millisecond)
			e.checkFree("after the try", p)
		}
		ctx, cancel := context.WithTimeout(e.Context(), 2500*time.Millisecond)
		defer cancel()
		err := new(Lease).Acquire(ctx, m, &p)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnconfirmed) {
			e.Errorf("a wait: %v", err)
		}
		time.Sleep(time.Second)
		e.checkFree("after the wait", p)
	})
}

// A grant whose request is cancelled during its confirmation is released.
func TestGrantIsCancelledDuringItsConfirmation(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.acquire(m, taking(1, 3))
		s.setLatency(10 * ms)
		p := taking(2, 3)
		p.Replicas = 1
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.request(ctx, m, p)
		time.Sleep(30 * ms) // the grant has arrived, and its confirmation is in flight
		e.checkUsed(Semaphore, 3)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		time.Sleep(time.Second)
		e.checkUsed(Semaphore, 1)
	})
}

// The receiver of a hand-over message sends a renewal for its confirmation, and no other request.
func TestHandoverIsConfirmed(t *testing.T) {
	inBubbles(t, confirmed(), func(e *env, p Params) {
		first, _ := e.process()
		exclusive := p
		if exclusive.Replicas = 0; p.Kind == RWMutex {
			exclusive.Weight, exclusive.Shared = ExclusiveWeight, false
		}
		held := e.acquire(first, exclusive)
		m, s := e.process()
		confirmations := s.replicas(nil)
		_, got := e.request(e.Context(), m, p)
		e.checkWaits("behind the holder", got)
		time.Sleep(10 * time.Millisecond)
		requests := e.redis.counted().requests
		held.Release()
		e.checkGranted("by the message", got, time.Millisecond)
		if n := confirmations(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
		if n := e.redis.counted().requests - requests; p.Kind == Mutex && n != 0 {
			e.Errorf("%d other requests", n)
		}
	})
}

// A renewal that replicas do not confirm does not extend the lease, which is lost after its TTL.
func TestUnconfirmedRenewalDoesNotCount(t *testing.T) {
	inBubbles(t, confirmed(), func(e *env, p Params) {
		m, s := e.process()
		p.TTL = 3 * time.Second
		l := e.acquire(m, p)
		time.Sleep(10 * time.Second) // several renewals
		if l.Err() != nil {
			e.Fatal(l.Err())
		}
		confirmations := s.replicas(ErrUnconfirmed)
		start := time.Now()
		select {
		case <-l.Done():
		case <-time.After(time.Hour):
		}
		if !errors.Is(l.Err(), ErrLost) {
			e.Errorf("ended by %v", l.Err())
		}
		e.checkWithin("the loss", start, p.TTL)
		if n := confirmations(); n < 2 {
			e.Errorf("%d renewals tried", n)
		}
	})
}

// A local hand-over of a confirmed hold needs no further confirmation.
func TestLocalHandoverNeedsNoConfirmation(t *testing.T) {
	inBubbles(t, confirmed(), func(e *env, p Params) {
		m, s := e.process()
		confirmations := s.replicas(nil)
		l := e.acquire(m, p)
		_, got := e.request(e.Context(), m, p)
		synctest.Wait()
		l.Release()
		e.checkGranted("the next", got, 0)
		if n := confirmations(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
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
		p.Replicas, p.Try = 1, true
		if err := e.try(m, p); !errors.Is(err, ErrUnconfirmed) {
			e.Errorf("a try: %v", err)
		}
		if n := confirmations(); n != 1 || plain.Err() != nil {
			e.Errorf("%d confirmations, and the other reader has %v", n, plain.Err())
		}
		confirmations = s.replicas(nil)
		e.acquire(m, p)
		if n := confirmations(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
	})
}
