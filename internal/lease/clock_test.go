package lease

import (
	"sync"
	"testing"
	"time"
)

// renewalLog is a store that notes when each token is renewed.
type renewalLog struct {
	*fakeStore
	tallying
	mu   sync.Mutex
	sent map[string][]time.Time
	down bool // no renewal is answered
}

func newRenewalLog(r *fakeRedis) *renewalLog {
	return &renewalLog{
		fakeStore: newFakeStore(r), sent: map[string][]time.Time{},
		tallying: tallying{do: func(Change) (Answer, error) { return Counted, nil }},
	}
}

func (s *renewalLog) Patience() time.Duration { return s.fakeStore.Patience() }

func (s *renewalLog) Renew(rs []Renewal, done func(int, Renewed)) {
	s.mu.Lock()
	down := s.down
	for _, r := range rs {
		s.sent[r.Token] = append(s.sent[r.Token], time.Now())
	}
	s.mu.Unlock()
	for i := range rs {
		if down {
			done(i, Renewed{Err: errNetwork})
		} else {
			done(i, Renewed{Kept: true})
		}
	}
}

// set begins an outage, or ends it, and forgets what was sent before.
func (s *renewalLog) set(down bool) (before map[string][]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.sent, s.down = s.sent, map[string][]time.Time{}, down
	return before
}

// TestManyHoldsAreRenewedAsRarelyAsOne: those that begin within a twelfth of the TTL
// are renewed together, and that makes no renewal much earlier than its own time. While
// Redis does not answer, none is tried again sooner than a 30th of the TTL later.
func TestManyHoldsAreRenewedAsRarelyAsOne(t *testing.T) {
	const ttl, holds = 12 * time.Second, 2000
	begin := map[string]func(b *bench, k *Keeper, i int) (err func() error){
		"locks": func(b *bench, k *Keeper, i int) func() error {
			l, p := new(Lease), params(ttl)
			p.Key = time.Duration(i).String()
			if err := l.Acquire(b.Context(), k, &p); err != nil {
				b.Fatal(err)
			}
			b.leases = append(b.leases, l)
			return l.Err
		},
		"tasks": func(b *bench, k *Keeper, i int) func() error {
			task, err := k.NewSession(time.Duration(i).String()).Start(b.Context(), "go", Go, ttl, "")
			if err != nil {
				b.Fatal(err)
			}
			return task.Err
		},
	}
	for name, begin := range begin {
		inBubble(t, func(b *bench) {
			s := newRenewalLog(b.redis)
			k := NewKeeper(s)
			beginAll := func(from int) (ends []func() error) {
				for i := range holds {
					ends = append(ends, begin(b, k, from+i))
					time.Sleep(ttl / 12 / holds)
				}
				return ends
			}
			beginAll(0)
			time.Sleep(2*ttl - ttl/12)
			sent := s.set(true)
			if len(sent) != holds {
				b.Errorf("%d of %d %s were renewed", len(sent), holds, name)
			}
			for _, times := range sent {
				if n := len(times); n < 5 || n > 8 {
					b.Fatalf("%s: %d renewals in 2 TTLs, want 5 to 8", name, n)
				}
			}
			ends := beginAll(holds)
			time.Sleep(ttl)
			for _, err := range ends {
				if err() == nil {
					b.Fatalf("%s: kept without a renewal", name)
				}
			}
			sent = s.set(false)
			if len(sent) != 2*holds {
				b.Errorf("it was tried to renew %d of %d %s", len(sent), 2*holds, name)
			}
			for _, times := range sent {
				for i, at := range times[1:] {
					if apart := at.Sub(times[i]); apart < ttl/30 {
						b.Fatalf("%s: %d tries in the outage, of which the %dth came %v after the one before", name, len(times), i+2, apart)
					}
				}
			}
		})
	}
}
