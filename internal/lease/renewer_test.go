package lease

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// renewalLog is a store that records when each token is renewed.
type renewalLog struct {
	*fakeStore
	sent map[string][]time.Time
}

func (s *renewalLog) UpdateGroup(context.Context, taskgroup.Operation) (taskgroup.UpdateReply, error) {
	return taskgroup.UpdateReply{Outcome: taskgroup.Applied}, nil
}

func (s *renewalLog) Renew(rs []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	for i, r := range rs {
		if !begin(i) {
			panic("an unneeded renewal")
		}
		s.mu.Lock()
		s.sent[r.Token] = append(s.sent[r.Token], time.Now())
		err := s.refuse("renew")
		s.mu.Unlock()
		done(i, RenewResult{Held: err == nil, Err: err})
	}
}

// outage starts or ends an outage of renewals. It returns and clears the record.
func (s *renewalLog) outage(down bool) (before map[string][]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.sent = s.sent, map[string][]time.Time{}
	s.refuse = func(request string) error {
		if down && request == "renew" {
			return errNetwork
		}
		return nil
	}
	return before
}

// TestManyHoldsAreRenewedAsRarelyAsOne checks that holds that start within a twelfth of the TTL are
// renewed together, without a renewal much before it is due. While Redis does not reply, a
// renewal is retried after a 30th of the TTL at the earliest.
func TestManyHoldsAreRenewedAsRarelyAsOne(t *testing.T) {
	const ttl, holds = 12 * time.Second, 2000
	begin := map[string]func(e *env, s *renewalLog, m *Manager, i int) (err func() error){
		"locks": func(e *env, s *renewalLog, m *Manager, i int) func() error {
			p := params(ttl)
			p.Key = time.Duration(i).String()
			return e.acquire(m, p).Err
		},
		"tasks": func(e *env, s *renewalLog, m *Manager, i int) func() error {
			task, err := taskgroup.NewManager(m.Client, s).NewSession(time.Duration(i).String()).Start(e.Context(), "go", taskgroup.OpStart, ttl, "")
			if err != nil {
				e.Fatal(err)
			}
			return task.Err
		},
	}
	for name, begin := range begin {
		inBubble(t, func(e *env) {
			s := &renewalLog{newFakeStore(e.redis), map[string][]time.Time{}}
			m := NewManager(s)
			beginAll := func(from int) (ends []func() error) {
				for i := range holds {
					ends = append(ends, begin(e, s, m, from+i))
					time.Sleep(ttl / 12 / holds)
				}
				return ends
			}
			beginAll(0)
			time.Sleep(2*ttl - ttl/12)
			sent := s.outage(true)
			if len(sent) != holds {
				e.Errorf("%d of %d %s were renewed", len(sent), holds, name)
			}
			for _, times := range sent {
				if n := len(times); n < 5 || n > 8 {
					e.Fatalf("%s: %d renewals in 2 TTLs, want 5 to 8", name, n)
				}
			}
			ends := beginAll(holds)
			time.Sleep(ttl)
			for _, err := range ends {
				if err() == nil {
					e.Fatalf("%s: still held without a renewal", name)
				}
			}
			sent = s.outage(false)
			if len(sent) != 2*holds {
				e.Errorf("renewals of %d of %d %s were tried", len(sent), 2*holds, name)
			}
			for _, times := range sent {
				for i, at := range times[1:] {
					if apart := at.Sub(times[i]); apart < ttl/30 {
						e.Fatalf("%s: of %d tries in the outage, the %dth came %v after the previous one", name, len(times), i+2, apart)
					}
				}
			}
		})
	}
}

// renewalQueue is a store that queues renewals until the test lets it send them.
type renewalQueue struct {
	*fakeStore
	mu     sync.Mutex
	queued []func()
}

func (s *renewalQueue) Renew(rs []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range rs {
		s.queued = append(s.queued, func() {
			s.fakeStore.Renew([]Renewal{r}, func(int) bool { return begin(i) }, func(_ int, r RenewResult) { done(i, r) })
		})
	}
}

// send sends the queued renewals, and returns their number.
func (s *renewalQueue) send() int {
	s.mu.Lock()
	queued := s.queued
	s.queued = nil
	s.mu.Unlock()
	for _, renew := range queued {
		renew()
	}
	return len(queued)
}

// TestRenewalIsQueuedOnce delays the renewals of a busy client. A renewal that is due several times
// until then is sent once, and extends the hold by a TTL.
func TestRenewalIsQueuedOnce(t *testing.T) {
	const ttl, holds = 9 * time.Second, 3
	inBubble(t, func(e *env) {
		s := &renewalQueue{fakeStore: newFakeStore(e.redis)}
		m := NewManager(s)
		p := params(ttl)
		for _, p.Key = range keysNumbered(holds) {
			e.acquire(m, p)
		}
		for range 5 {
			time.Sleep(ttl - 500*time.Millisecond)
			if n := s.send(); n != holds {
				e.Errorf("%d renewals for %d holds", n, holds)
			}
			for _, l := range e.leases {
				if remaining := l.Remaining(); remaining < ttl-500*time.Millisecond {
					e.Errorf("after a renewal %v remain", remaining)
				}
			}
		}
	})
}
