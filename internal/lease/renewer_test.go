package lease

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// renewalLog is a store that notes when each token is renewed.
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
			panic("a renewal that is sent at once is not needed")
		}
		s.mu.Lock()
		s.sent[r.Token] = append(s.sent[r.Token], time.Now())
		err := s.refuse("renew")
		s.mu.Unlock()
		done(i, RenewResult{Held: err == nil, Err: err})
	}
}

// outage begins an outage, or ends it, and forgets what was sent before.
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

// TestManyHoldsAreRenewedAsRarelyAsOne: those that begin within a twelfth of the TTL
// are renewed together, and that makes no renewal much earlier than its own time. While
// Redis does not answer, none is tried again sooner than a 30th of the TTL later.
func TestManyHoldsAreRenewedAsRarelyAsOne(t *testing.T) {
	const ttl, holds = 12 * time.Second, 2000
	begin := map[string]func(e *env, s *renewalLog, m *Manager, i int) (err func() error){
		"locks": func(e *env, s *renewalLog, m *Manager, i int) func() error {
			l, p := new(Lease), params(ttl)
			p.Key = time.Duration(i).String()
			if err := l.Acquire(e.Context(), m, &p); err != nil {
				e.Fatal(err)
			}
			e.leases = append(e.leases, l)
			return l.Err
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
					e.Fatalf("%s: kept without a renewal", name)
				}
			}
			sent = s.outage(false)
			if len(sent) != 2*holds {
				e.Errorf("it was tried to renew %d of %d %s", len(sent), 2*holds, name)
			}
			for _, times := range sent {
				for i, at := range times[1:] {
					if apart := at.Sub(times[i]); apart < ttl/30 {
						e.Fatalf("%s: %d tries in the outage, of which the %dth came %v after the one before", name, len(times), i+2, apart)
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

// send sends what is queued, and returns how many renewals that were.
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

// TestRenewalIsQueuedOnce has a busy client send renewals late. However often one is due meanwhile, it is
// sent once, and the hold lasts for a TTL from then on.
func TestRenewalIsQueuedOnce(t *testing.T) {
	const ttl, holds = 9 * time.Second, 3
	inBubble(t, func(e *env) {
		s := &renewalQueue{fakeStore: newFakeStore(e.redis)}
		m := NewManager(s)
		for i := range holds {
			l, p := new(Lease), params(ttl)
			p.Key = time.Duration(i).String()
			if err := l.Acquire(e.Context(), m, &p); err != nil {
				e.Fatal(err)
			}
			e.leases = append(e.leases, l)
		}
		for range 5 {
			time.Sleep(ttl - 500*time.Millisecond)
			if n := s.send(); n != holds {
				e.Errorf("%d renewals of %d holds", n, holds)
			}
			for _, l := range e.leases {
				if remaining := l.Remaining(); remaining < ttl-500*time.Millisecond {
					e.Errorf("after a renewal %v remain", remaining)
				}
			}
		}
	})
}
