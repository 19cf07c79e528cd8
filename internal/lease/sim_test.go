package lease

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "schedules for TestSimulation to run")
	simSeed  = flag.Uint64("sim.seed", 0, "run this schedule only, and print its trace")
)

// TestSimulation runs random workloads of several processes against a fake Redis
// whose network loses, repeats and delays requests, replies and messages, and
// checks in every one that nobody holds the lock but one, that each hold has a
// higher fence than the one before it, that every caller gets an answer, and
// that in the end nothing is left: no goroutine (the bubble would not end), no
// line, no queue entry, no key but for its TTL.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed, true)
		return
	}
	first := rand.Uint64() >> 16
	for i := range *simSeeds {
		if simulate(t, first+uint64(i), false); t.Failed() {
			t.Fatalf("run again with: go test ./internal/lease -run TestSimulation -sim.seed %d", first+uint64(i))
		}
	}
}

func simulate(t *testing.T, seed uint64, verbose bool) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var trace strings.Builder
		start := time.Now()
		r := newFakeRedis()
		r.log = func(format string, args ...any) {
			fmt.Fprintf(&trace, "%12v %s\n", time.Since(start), fmt.Sprintf(format, args...))
		}
		const workers, rounds = 4, 8
		processes := 1 + rng.IntN(4)
		ttl := []time.Duration{300 * time.Millisecond, time.Second, 10 * time.Second}[rng.IntN(3)]
		bad := []float64{0, 0.02, 0.2}[rng.IntN(3)] // how often the network fails
		s := &simulation{t: t, redis: r}

		var keepers []*Keeper
		done := make(chan struct{})
		var disturbers sync.WaitGroup
		for p := range processes {
			store := newFakeStore(r)
			mine := rand.New(rand.NewPCG(seed, uint64(p)+1))
			disturb(store, mine.Float64, bad)
			k := NewKeeper(store)
			keepers = append(keepers, k)
			for w := range workers {
				rng := rand.New(rand.NewPCG(seed, uint64(100*p+w)+50))
				go func() {
					for range rounds {
						s.round(k, rng, ttl)
					}
					done <- struct{}{}
				}()
			}
			if bad > 0 {
				disturbers.Go(func() {
					for range 3 {
						time.Sleep(rand.N(5 * time.Second))
						select {
						case store.deafen <- struct{}{}:
						case <-time.After(time.Second):
						}
					}
				})
			}
		}
		for range processes * workers {
			<-done
		}
		disturbers.Wait()
		time.Sleep(ttl + 2*EntryLife + 3*time.Second) // what was executed late, too
		synctest.Wait()
		for _, k := range keepers {
			if len(k.lines)+len(k.expected)+len(k.clock) > 0 || k.ear.stop != nil {
				t.Errorf("keeper not at rest: %d lines, %d expected, %d in the clock", len(k.lines), len(k.expected), len(k.clock))
			}
		}
		for name, k := range r.keys {
			if r.key(name); k.owner != "" {
				t.Errorf("%s is still held by %s", name, k.owner)
			}
		}
		if bad == 0 && s.lost > 0 {
			t.Errorf("seed %d: %d leases lost on a network without faults", seed, s.lost)
		}
		if verbose || t.Failed() {
			t.Logf("seed %d: %d processes, ttl %v, faults %v, %d grants, %d lost, %v\n%s", seed, processes, ttl, bad, s.grants, s.lost, time.Since(start), &trace)
		}
	})
}

type simulation struct {
	t            *testing.T
	redis        *fakeRedis
	inside       *Lease
	fence        int64
	grants, lost int
}

// round is one lease of a random kind, from the request to its end.
func (s *simulation) round(k *Keeper, rng *rand.Rand, ttl time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rng.IntN(3) == 0 {
		time.AfterFunc(time.Duration(rng.Int64N(int64(300*time.Millisecond))), cancel)
	}
	p := Params{Op: "lock", Kind: Mutex, Key: "key", TTL: ttl, Weight: 1, Try: rng.IntN(5) == 0}
	l, idle := new(Lease), false
	if rng.IntN(2) == 0 {
		box := NewBox(func(err error) error { return err })
		l.AcquireChan(ctx, k, p, box)
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
	} else if err := l.Acquire(ctx, k, p); err != nil {
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

func (s *simulation) refused(ctx context.Context, p Params, err error) {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
	case p.Try && (errors.Is(err, ErrLocked) || errors.Is(err, errNetwork) || errors.Is(err, errNoAnswer)):
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

// disturb makes the network of a store as slow as roll says, and as bad.
func disturb(store *fakeStore, roll func() float64, bad float64) {
	// All of these are called under the store's mutex.
	store.latency = func() time.Duration { return time.Duration(roll() * roll() * float64(3*time.Millisecond)) }
	store.fault = func() fault {
		if roll() < bad {
			return fault(1 + int(roll()*4))
		}
		return fine
	}
	store.message = func() (int, time.Duration) {
		switch x := roll(); {
		case x < bad/2:
			return 0, 0
		case x < bad:
			return 2, time.Duration(roll() * float64(6*time.Second))
		}
		return 1, time.Duration(roll() * float64(time.Millisecond))
	}
}
