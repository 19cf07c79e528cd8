// Command soak injects random faults into processes that share locks, into their servers, and
// into the network between them, and checks the guarantees. It can run the same workers, faults
// and checks on other libraries. A seed repeats the random choices.
//
// It is a module of its own, so that the other libraries do not become dependencies of baton's
// users. README.md describes the faults and the checks, and has the results of the last run.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// config has the values of the flags.
type config struct {
	system     string
	topologies []string
	keys       []string // of the selected workloads
	faults     []fault
	duration   time.Duration
	ttl        time.Duration // 0 means a random TTL in each test run
	seed       uint64
	verbose    bool
	until      string // the rule whose violation ends the soak, for the control group
}

// peerTTL is the TTL of peers, which do not renew. It exceeds every bound, so locks that they leave behind
// are detected.
const peerTTL = 12 * time.Second

func main() {
	runWorker()
	c := &config{}
	topology := flag.String("topology", "all", "some of "+strings.Join(topologies, ", ")+", separated by commas, or all")
	primitives := flag.String("primitives", "all", "some of mutex, pool, rwmutex, semaphore, waitgroup, limiter, election, once, flight; peers have only a mutex")
	only := flag.String("faults", "all", "the faults to inject, such as black-hole,worker-kill")
	flag.StringVar(&c.system, "system", "baton", "the library: baton, redislock, redsync or rueidislock")
	flag.DurationVar(&c.duration, "duration", time.Minute, "how long to start new fault runs")
	flag.DurationVar(&c.ttl, "ttl", 0, "the TTL of everything; 0 means a random TTL of 0.5 to 2 s in each test run")
	flag.Uint64Var(&c.seed, "seed", 0, "the seed of all random choices; 0 means a random seed")
	flag.BoolVar(&c.verbose, "v", false, "print each fault run")
	flag.Parse()
	c.seed = cmp.Or(c.seed, rand.Uint64())
	if err := c.choose(*topology, *primitives, *only); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	defer redistest.WatchStalls()()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := c.soak(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	r.print(os.Stdout)
	fmt.Printf("\ngo run . -system %s -topology %s -primitives %s -faults %s -ttl %v -duration %v -seed %d\n", c.system, *topology, *primitives, *only, c.ttl, c.duration, c.seed)
	for _, v := range r.violations {
		fmt.Println(v)
	}
	if err != nil || len(r.violations) > 0 {
		os.Exit(1)
	}
}

// choose applies the flags.
func (c *config) choose(topology, primitives, only string) (err error) {
	if systems[c.system] == nil {
		return fmt.Errorf("unknown system %q", c.system)
	}
	if c.system != "baton" {
		topology, primitives, c.ttl = "single", "mutex", cmp.Or(c.ttl, peerTTL)
	}
	if c.topologies, err = selected(topologies, topology, func(t string) string { return t }); err != nil {
		return err
	}
	if c.keys, err = selected(keys, primitives, func(key string) string { return workloadOf(key).name }); err != nil {
		return err
	}
	if c.system != "baton" {
		c.keys = c.keys[:2] // the others are for tries, which peers do not make
	}
	c.faults, err = selected(faults, only, func(f fault) string { return f.name })
	return err
}

// selected returns the elements of a list with these names, separated by commas.
func selected[V any](list []V, names string, nameOf func(V) string) (chosen []V, err error) {
	if names == "all" {
		return list, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		before := len(chosen)
		for _, v := range list {
			if nameOf(v) == name {
				chosen = append(chosen, v)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("unknown name %q", name)
		}
	}
	return chosen, nil
}

// A faultSchedule schedules the faults of a topology equally often. Faults that lose data have test runs of
// their own, because more can be checked in the other test runs.
type faultSchedule struct{ faults, left []fault }

// next returns at most twelve faults for a test run, which either all lose data or all do not.
func (s *faultSchedule) next(random *rand.Rand) (list []fault) {
	if len(s.left) == 0 {
		for _, i := range random.Perm(len(s.faults)) {
			s.left = append(s.left, s.faults[i])
		}
	}
	losesData := s.left[0].losesData
	s.left = slices.DeleteFunc(s.left, func(f fault) bool {
		chosen := f.losesData == losesData && len(list) < 12
		if chosen {
			list = append(list, f)
		}
		return chosen
	})
	return list
}

// soak runs one test run after another, alternating the topologies, until ctx is done. Test runs that the
// harness could not finish are reported, and only a few of them are tolerated.
func (c *config) soak(ctx context.Context) (*report, error) {
	r := &report{}
	random := rand.New(rand.NewPCG(c.seed, 0))
	ctx, cancel := context.WithTimeout(ctx, c.duration)
	defer cancel()
	var schedules []*faultSchedule
	for _, kind := range c.topologies {
		fitting := slices.DeleteFunc(slices.Clone(c.faults), func(f fault) bool { return !f.fits(kind) })
		if len(fitting) == 0 {
			return r, fmt.Errorf("no selected fault fits the topology %s", kind)
		}
		schedules = append(schedules, &faultSchedule{faults: fitting})
	}
	for i := 0; ctx.Err() == nil && !c.finished(r); i++ {
		n := i % len(schedules)
		kind, list := c.topologies[n], schedules[n].next(random)
		if err := redistest.Program(func(tb testing.TB) { c.run(ctx, tb, kind, list, random, r) }); err != nil {
			r.failedRuns = append(r.failedRuns, fmt.Sprintf("%s: %v", kind, err))
			if len(r.failedRuns) > 2+r.runs/10 {
				return r, errors.New("too many test runs were not finished")
			}
		}
	}
	return r, nil
}

// finished reports whether the soak has reached its goal. With baton, it ends at the first violation,
// because consequences of the violation would be reported repeatedly.
func (c *config) finished(r *report) bool {
	if c.system == "baton" {
		return len(r.violations) > 0
	}
	return slices.ContainsFunc(r.violations, func(v violation) bool { return v.rule == c.until })
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[V any](v V, err error) V {
	check(err)
	return v
}
