package lease

import (
	"sync"
	"testing"
	"time"
)

// renewalLog is a store that records when each token is renewed.
type renewalLog struct {
	*fakeStore
	sent map[string][]time.Time
}

func (s *renewalLog) Renew(rs []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	s.fakeStore.Renew(rs, func(i int) bool {
		s.change(func() { s.sent[rs[i].Token] = append(s.sent[rs[i].Token], time.Now()) })
		return begin(i)
	}, done)
}

// outage starts or ends an outage of renewals. It returns and clears the record.
func (s *renewalLog) outage(err error) (before map[string][]time.Time) {
	s.change(func() {
		before, s.sent = s.sent, map[string][]time.Time{}
		s.refuse = func(request string) error {
			if request == "renew" {
				return err
			}
			return nil
		}
	})
	return before
}

// TestManyHoldsAreRenewedAsRarelyAsOne checks that holds that start within a twelfth of the TTL are
// renewed together, without a renewal much before it is due. While Redis does not reply, a
// renewal is retried after a 30th of the TTL at the earliest.
func TestManyHoldsAreRenewedAsRarelyAsOne(t *testing.T) {
	const ttl, holds = 12 * time.Second, 2000
	inBubble(t, func(e *env) {
		s := &renewalLog{newFakeStore(e.redis), map[string][]time.Time{}}
		m := NewManager(s)
		p := params(ttl)
		keys := keysNumbered(2 * holds)
		acquireAll := func(keys []string) {
			for _, p.Key = range keys {
				e.acquire(m, p)
				time.Sleep(ttl / 12 / holds)
			}
		}
		acquireAll(keys[:holds])
		time.Sleep(2*ttl - ttl/12)
		sent := s.outage(errNetwork)
		equal(e, "holds that were renewed", len(sent), holds)
		for _, times := range sent {
			if n := len(times); n < 5 || n > 8 {
				e.Fatalf("%d renewals in 2 TTLs, want 5 to 8", n)
			}
		}
		acquireAll(keys[holds:])
		time.Sleep(ttl)
		for _, l := range e.leases {
			if l.Err() == nil {
				e.Fatal("still held without a renewal")
			}
		}
		sent = s.outage(nil)
		equal(e, "holds whose renewal was tried", len(sent), 2*holds)
		for _, times := range sent {
			for i, at := range times[1:] {
				if apart := at.Sub(times[i]); apart < ttl/30 {
					e.Fatalf("of %d tries in the outage, the %dth came %v after the previous one", len(times), i+2, apart)
				}
			}
		}
	})
}

// renewalQueue is a store that queues renewals until the test lets it send them.
type renewalQueue struct {
	*fakeStore
	mu     sync.Mutex
	queued []func() (sent bool)
}

func (s *renewalQueue) Renew(rs []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rs {
		s.queued = append(s.queued, func() (sent bool) {
			s.fakeStore.Renew(rs[i:i+1], func(int) bool {
				sent = begin(i)
				return sent
			}, func(_ int, r RenewResult) { done(i, r) })
			return sent
		})
	}
}

// TestRenewalIsQueuedOnce delays the renewals of a busy client. A renewal that is due several times
// until then is sent once, and extends the hold by a TTL. That of a released hold is not sent.
func TestRenewalIsQueuedOnce(t *testing.T) {
	const ttl, holds = 9 * time.Second, 3
	inBubble(t, func(e *env) {
		s := &renewalQueue{fakeStore: newFakeStore(e.redis)}
		m := NewManager(s)
		p := params(ttl)
		for _, p.Key = range keysNumbered(holds) {
			e.acquire(m, p)
		}
		for round := range 6 {
			time.Sleep(ttl - 500*ms)
			released := round == 5
			if released {
				for _, l := range e.leases {
					l.Release()
				}
			}
			s.mu.Lock()
			queued := s.queued
			s.queued = nil
			s.mu.Unlock()
			for _, renew := range queued {
				if sent := renew(); sent == released {
					e.Errorf("released: %t, renewed: %t", released, sent)
				}
			}
			equal(e, "renewals", len(queued), holds)
			for _, l := range e.leases {
				if remaining := l.Remaining(); !released && remaining < ttl-500*ms {
					e.Errorf("after a renewal %v remain", remaining)
				}
			}
		}
	})
}
