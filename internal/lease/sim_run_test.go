package lease

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "schedules for each simulation to run")
	simSeed  = flag.Uint64("sim.seed", 0, "run this schedule only, and print its trace")
)

// What a schedule chooses from: how long a hold lives, and how often the network fails.
var (
	simTTLs = []time.Duration{300 * time.Millisecond, time.Second, 10 * time.Second}
	badness = []float64{0, 0.02, 0.2}
)

// schedule is what one run of a simulation begins with.
type schedule struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand // for what is decided at the beginning
	redis *fakeRedis
	bad   float64 // how often the network fails
}

// simulateAll runs a simulation with one new seed after the other, or with the one
// that the command line says. It returns what is to be said of its schedule.
func simulateAll(t *testing.T, simulate func(s *schedule) string) {
	if *simSeed != 0 {
		simulateOne(t, *simSeed, true, simulate)
		return
	}
	first := rand.Uint64() >> 16
	for i := range *simSeeds {
		seed := first + uint64(i)
		if simulateOne(t, seed, false, simulate); t.Failed() {
			t.Fatalf("run again with: go test ./internal/lease -run '^%s$' -sim.seed %d", t.Name(), seed)
		}
	}
}

func simulateOne(t *testing.T, seed uint64, verbose bool, simulate func(s *schedule) string) {
	synctest.Test(t, func(t *testing.T) {
		var trace strings.Builder
		last := func(n int) string { return trace.String()[max(0, trace.Len()-n):] }
		endless := func() { panic(fmt.Sprintf("seed %d does not end: %s", seed, last(20000))) }
		start := time.Now()
		s := &schedule{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), redis: newFakeRedis()}
		s.redis.log = func(format string, args ...any) {
			fmt.Fprintf(&trace, "%12v %s\n", time.Since(start), fmt.Sprintf(format, args...))
			if trace.Len() > 100<<20 {
				endless()
			}
		}
		watchdog := time.AfterFunc(5*time.Hour, endless)
		what := simulate(s)
		watchdog.Stop()
		if verbose || t.Failed() {
			t.Logf("seed %d: %s, %v\n%s", seed, what, time.Since(start), last(200000))
		}
	})
}

// store returns the connection of process p, as bad as the network is.
func (s *schedule) store(p int) *fakeStore {
	store := newFakeStore(s.redis)
	disturb(store, rand.New(rand.NewPCG(s.seed, uint64(p)+1)).Float64, s.bad)
	return store
}

// breakSometimes breaks the subscription a few times.
func (s *fakeStore) breakSometimes() {
	for range 3 {
		time.Sleep(rand.N(5 * time.Second))
		select {
		case s.disconnect <- struct{}{}:
		case <-time.After(time.Second):
		}
	}
}

// mend lets the network be well again.
func (s *fakeStore) mend() {
	s.change(func() {
		s.fault = func() fault { return fine }
		s.confirm = func() error { return nil }
	})
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
	store.confirm = func() error {
		if roll() < bad {
			return fmt.Errorf("fake: %w", ErrUnconfirmed)
		}
		return nil
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
