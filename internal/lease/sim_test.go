package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSimulation runs random workloads of several processes against a fake Redis
// whose network loses, repeats and delays requests, replies and messages, and
// checks in every one that nobody holds the lock but one, that each hold has a
// higher fence than the one before it, that every caller gets an answer, and
// that in the end nothing is left: no goroutine (the bubble would not end), no
// line, no queue entry, no key but for its TTL.
func TestSimulation(t *testing.T) {
	simulateAll(t, simulate)
}

func simulate(sch *schedule) string {
	const workers, rounds = 4, 8
	t, r, rng, seed := sch.t, sch.redis, sch.rng, sch.seed
	processes := 1 + rng.IntN(4)
	ttl := simTTLs[rng.IntN(3)]
	sch.bad = badness[rng.IntN(3)]
	s := &simulation{schedule: sch, audit: audit{t: t}}

	var managers []*Manager
	done := make(chan struct{})
	var disturbers sync.WaitGroup
	for p := range processes {
		store, _ := s.store(p)
		m := NewManager(store)
		managers = append(managers, m)
		for w := range workers {
			rng := rand.New(rand.NewPCG(seed, uint64(100*p+w)+50))
			go func() {
				for range rounds {
					s.round(m, rng, ttl)
				}
				done <- struct{}{}
			}()
		}
		if s.bad > 0 {
			disturbers.Go(store.breakSometimes)
		}
	}
	for range processes * workers {
		<-done
	}
	disturbers.Wait()
	time.Sleep(ttl + 2*WaiterTTL + 3*time.Second) // what was executed late, too
	synctest.Wait()
	for _, m := range managers {
		if len(m.queues.Entries)+len(m.claimsByToken.Entries) > 0 || !m.AtRest() {
			t.Errorf("manager not at rest: %d queues, %d expected, %d to renew", len(m.queues.Entries), len(m.claimsByToken.Entries), m.Renewing())
		}
	}
	for name, k := range r.keys {
		if r.key(name); k.owner != "" {
			t.Errorf("%s is still held by %s", name, k.owner)
		}
	}
	if s.bad == 0 && s.lost > 0 {
		t.Errorf("%d leases lost on a network without faults", s.lost)
	}
	s.audit.check()
	return fmt.Sprintf("%d processes, ttl %v, faults %v, %d grants, %d lost", processes, ttl, s.bad, s.grants, s.lost)
}

type simulation struct {
	*schedule
	audit        audit // of half of the requests
	inside       *Lease
	fence        int64
	grants, lost int
}

// round is one lease of a random kind, from the request to its end.
func (s *simulation) round(m *Manager, rng *rand.Rand, ttl time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rng.IntN(3) == 0 {
		time.AfterFunc(time.Duration(rng.Int64N(int64(300*time.Millisecond))), cancel)
	}
	p := Params{Kind: Mutex, Key: "key", TTL: ttl, Weight: 1, Try: rng.IntN(5) == 0, Linger: simLinger(rng, ttl), Replicas: max(rng.IntN(4)-1, 0)}
	if rng.IntN(2) == 0 {
		ctx, _ = s.audit.begin(ctx, "a request")
		p.Trace = s.audit.trace()
	}
	l, idle := new(Lease), false
	if rng.IntN(2) == 0 {
		box := result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, m, &p, box)
		if rng.IntN(10) == 0 { // abandoned: what is granted must not stay
			time.Sleep(time.Duration(rng.Int64N(int64(ttl))))
			cancel()
			if err := <-box.C(); err != nil {
				return
			}
			idle = true // not renewed until now, so it may end at once
		} else if err := <-box.C(); err != nil {
			s.refused(ctx, p, err)
			return
		}
	} else if err := l.Acquire(ctx, m, &p); err != nil {
		s.refused(ctx, p, err)
		return
	}
	s.enter(l)
	hold := time.NewTimer(time.Duration(rng.ExpFloat64() * []float64{0, 1e5, 1e7, float64(ttl)}[rng.IntN(4)]))
	defer hold.Stop()
	select {
	case <-hold.C:
	case <-l.Done():
	}
	s.leave(l)
	if err := l.Release(); errors.Is(err, ErrLost) && !idle {
		s.redis.mu.Lock()
		s.lost++
		s.redis.log("lost %s", l.claim.token)
		s.redis.mu.Unlock()
	}
	if l.Err() == nil {
		s.t.Error("a released lease has no error")
	}
}

// simLinger is the Linger of half of the leases.
func simLinger(rng *rand.Rand, ttl time.Duration) time.Duration {
	return time.Duration(rng.IntN(2)) * ttl / 10
}

func (s *simulation) refused(ctx context.Context, p Params, err error) {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
	case p.Try && (errors.Is(err, ErrLocked) || errors.Is(err, ErrUnconfirmed) || errors.Is(err, errNetwork) || errors.Is(err, retry.ErrNoAnswer)):
	case errors.Is(err, ErrLost): // from a channel, granted and not received in time
	default:
		s.t.Errorf("refused with %v", err)
	}
}

func (s *simulation) enter(l *Lease) {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	s.redis.log("enter %s fence %d", l.claim.token, l.fence)
	if s.inside != nil && s.inside.Err() == nil {
		s.t.Errorf("%s is let in while %s is inside", l.claim.token, s.inside.claim.token)
	}
	if l.fence <= s.fence {
		s.t.Errorf("fence %d after %d", l.fence, s.fence)
	}
	s.inside, s.fence = l, l.fence
	s.grants++
}

func (s *simulation) leave(l *Lease) {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	s.redis.log("leave %s", l.claim.token)
	if s.inside == l {
		s.inside = nil
	}
}
