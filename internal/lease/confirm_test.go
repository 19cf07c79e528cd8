package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// confirmed are parameters of each primitive whose grants a replica must confirm.
func confirmed() map[string]Params {
	all := map[string]Params{"mutex": params(time.Minute), "semaphore": taking(2, 2), "writer": writing(time.Minute), "reader": reading(time.Minute)}
	for name, p := range all {
		p.Replicas = 1
		all[name] = p
	}
	return all
}

// replicas sets what replicas say to renewals from now on, and returns how often they were asked.
func (s *fakeStore) replicas(err error) (asked func() int) {
	n := 0
	s.change(func() {
		s.confirm = func() error { n++; return err }
	})
	return func() (now int) {
		s.change(func() { now = n })
		return now
	}
}

func (e *env) requests() int {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	return e.redis.requests
}

func eachConfirmed(t *testing.T, f func(e *env, p Params)) {
	for name, p := range confirmed() {
		t.Run(name, func(t *testing.T) { inBubble(t, func(e *env) { f(e, p) }) })
	}
}

// free checks that another process, which needs no replica, gets the lock at once.
func (e *env) free(what string, p Params) {
	e.Helper()
	m, _ := e.process()
	if p.Replicas, p.Try = 0, true; p.Kind == RWMutex {
		p.Weight, p.Shared = ExclusiveWeight, false
	}
	l := new(Lease)
	if err := l.Acquire(e.Context(), m, &p); err != nil {
		e.Errorf("%s: the lock is not free: %v", what, err)
		return
	}
	l.Release()
}

func TestGrantCountsOnceConfirmed(t *testing.T) {
	eachConfirmed(t, func(e *env, p Params) {
		m, s := e.process()
		asked := s.replicas(nil)
		l := e.take(m, p)
		if n := asked(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
		l.Release()

		asked = s.replicas(ErrUnconfirmed)
		start := time.Now()
		_, got := e.want(e.Context(), m, p)
		time.Sleep(10 * time.Second)
		e.waits("without replicas", got)
		if n := asked(); n < 5 || n > 11 { // each takes ReplicaTimeout
			e.Errorf("%d confirmations in %v", n, time.Since(start))
		}
		s.replicas(nil)
		e.gets("with replicas", got, 2*time.Second)
	})
}

// What was not confirmed is given back, so that others get it, before anybody is told.
func TestUnconfirmedGrantIsReleased(t *testing.T) {
	eachConfirmed(t, func(e *env, p Params) {
		m, s := e.process()
		for _, refused := range []error{errNetwork, ErrUnconfirmed} {
			s.replicas(refused)
			p.Try = true
			start := time.Now()
			if err := new(Lease).Acquire(e.Context(), m, &p); !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, refused) {
				e.Errorf("a try: %v", err)
			}
			e.within("a try fails", start, client.MaxReplicaTimeout+time.Millisecond)
			e.free("after the try", p)
		}
		p.Try = false
		ctx, cancel := context.WithTimeout(e.Context(), 2500*time.Millisecond)
		defer cancel()
		err := new(Lease).Acquire(ctx, m, &p)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnconfirmed) {
			e.Errorf("a wait: %v", err)
		}
		time.Sleep(time.Second)
		e.free("after the wait", p)
	})
}

// What nobody waits for any more when its confirmation arrives is given back.
func TestGrantIsGivenUpDuringItsConfirmation(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		e.take(m, taking(1, 3))
		s.takes(10 * ms)
		p := taking(2, 3)
		p.Replicas = 1
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.want(ctx, m, p)
		time.Sleep(30 * ms) // the grant has come, and its confirmation is under way
		e.uses(Semaphore, 3)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		time.Sleep(time.Second)
		e.uses(Semaphore, 1)
	})
}

// A hand-over's message makes its receiver send the renewal, and no other request.
func TestHandoverIsConfirmed(t *testing.T) {
	eachConfirmed(t, func(e *env, p Params) {
		first, _ := e.process()
		exclusive := p
		if exclusive.Replicas = 0; p.Kind == RWMutex {
			exclusive.Weight, exclusive.Shared = ExclusiveWeight, false
		}
		held := e.take(first, exclusive)
		m, s := e.process()
		asked := s.replicas(nil)
		_, got := e.want(e.Context(), m, p)
		e.waits("behind the holder", got)
		time.Sleep(10 * time.Millisecond)
		requests := e.requests()
		held.Release()
		e.gets("by the message", got, time.Millisecond)
		if n := asked(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
		if n := e.requests() - requests; p.Kind == Mutex && n != 0 {
			e.Errorf("%d requests besides", n)
		}
	})
}

// A renewal that replicas do not confirm extends nothing: the hold ends by its own clock.
func TestUnconfirmedRenewalDoesNotCount(t *testing.T) {
	eachConfirmed(t, func(e *env, p Params) {
		m, s := e.process()
		p.TTL = 3 * time.Second
		l := e.take(m, p)
		time.Sleep(10 * time.Second) // renewed
		if l.Err() != nil {
			e.Fatal(l.Err())
		}
		asked := s.replicas(ErrUnconfirmed)
		start := time.Now()
		select {
		case <-l.Done():
		case <-time.After(time.Hour):
		}
		if !errors.Is(l.Err(), ErrLost) {
			e.Errorf("ended by %v", l.Err())
		}
		e.within("the loss is told", start, p.TTL)
		if asked() < 2 {
			e.Errorf("%d renewals tried", asked())
		}
	})
}

// Goroutines of a process pass what was confirmed on without a further confirmation.
func TestPassingOnInsideNeedsNoConfirmation(t *testing.T) {
	eachConfirmed(t, func(e *env, p Params) {
		m, s := e.process()
		asked := s.replicas(nil)
		l := e.take(m, p)
		_, got := e.want(e.Context(), m, p)
		synctest.Wait()
		l.Release()
		e.gets("the next", got, 0)
		if n := asked(); n != 1 {
			e.Errorf("%d confirmations, want 1", n)
		}
	})
}

// A lease that needs replicas gets nothing of a hold that none has confirmed, and the hold stays.
func TestHoldIsConfirmedForWhoNeedsIt(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		asked := s.replicas(ErrUnconfirmed)
		plain := e.take(m, reading(time.Minute))
		p := reading(time.Minute)
		p.Replicas, p.Try = 1, true
		if err := new(Lease).Acquire(e.Context(), m, &p); !errors.Is(err, ErrUnconfirmed) {
			e.Errorf("a try: %v", err)
		}
		if asked() != 1 || plain.Err() != nil {
			e.Errorf("%d confirmations, and the other reader has %v", asked(), plain.Err())
		}
		asked = s.replicas(nil)
		e.take(m, p)
		if asked() != 1 {
			e.Errorf("%d confirmations, want 1", asked())
		}
	})
}
