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

// A schedule chooses its TTLs and the fault rate of its network from these.
var (
	simTTLs    = []time.Duration{300 * time.Millisecond, time.Second, 10 * time.Second}
	faultRates = []float64{0, 0.02, 0.2}
)

// schedule is the start of one run of a simulation.
type schedule struct {
	t         *testing.T
	seed      uint64
	rng       *rand.Rand // for the choices at the start
	redis     *fakeRedis
	faultRate float64 // of the network
}

// simulateAll runs a simulation with new seeds, or with the seed of the command line. The simulation
// returns a description of its schedule.
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

// store returns the connection of process p, with the faults of the network.
func (s *schedule) store(p int) *fakeStore {
	store := newFakeStore(s.redis)
	injectFaults(store, rand.New(rand.NewPCG(s.seed, uint64(p)+1)).Float64, s.faultRate)
	return store
}

// breakSometimes breaks the subscription up to three times.
func (s *fakeStore) breakSometimes() {
	for range 3 {
		time.Sleep(rand.N(5 * time.Second))
		select {
		case s.disconnect <- struct{}{}:
		case <-time.After(time.Second):
		}
	}
}

// repair ends the faults of the network.
func (s *fakeStore) repair() {
	s.change(func() {
		s.fault = func() fault { return fine }
		s.confirm = func() error { return nil }
	})
}

// injectFaults gives the network of a store random latencies, and faults with the given rate.
func injectFaults(store *fakeStore, roll func() float64, rate float64) {
	// The store calls all of these functions under its mutex.
	store.latency = func() time.Duration { return time.Duration(roll() * roll() * float64(3*time.Millisecond)) }
	store.fault = func() fault {
		if roll() < rate {
			return fault(1 + int(roll()*4))
		}
		return fine
	}
	store.confirm = func() error {
		if roll() < rate {
			return fmt.Errorf("fake: %w", ErrUnconfirmed)
		}
		return nil
	}
	store.message = func() (int, time.Duration) {
		switch x := roll(); {
		case x < rate/2:
			return 0, 0
		case x < rate:
			return 2, time.Duration(roll() * float64(6*time.Second))
		}
		return 1, time.Duration(roll() * float64(time.Millisecond))
	}
}
