package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func main() {
	runWorker()
	var (
		c     = &config{workers: 3, faultsPerRun: 12}
		kinds = flag.String("topology", "all", "some of "+strings.Join(topologies, ", ")+", separated by commas, or all")
		names = flag.String("primitives", "mutex,pool,rwmutex,semaphore,waitgroup,limiter,election,once,flight", "the primitives to test; peers have only a mutex")
		only  = flag.String("faults", "all", "the faults to inject, such as black-hole,worker-kill")
	)
	flag.StringVar(&c.system, "system", "baton", "the library: baton, redislock, redsync or rueidislock")
	flag.DurationVar(&c.duration, "duration", time.Minute, "how long to start new fault runs")
	flag.DurationVar(&c.ttl, "ttl", 0, "the TTL of everything; 0 means a random TTL of 0.5 to 2 s in each test run")
	flag.Uint64Var(&c.seed, "seed", 0, "the seed of all random choices; 0 means a random seed")
	flag.BoolVar(&c.verbose, "v", false, "print each fault run")
	flag.Parse()
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	if err := c.choose(*kinds, *names, *only); err != nil {
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
	fmt.Printf("\ngo run . -system %s -topology %s -primitives %s -faults %s -ttl %v -duration %v -seed %d\n", c.system, *kinds, *names, *only, c.ttl, c.duration, c.seed)
	for _, v := range r.violations {
		fmt.Println(v)
	}
	if err != nil || len(r.violations) > 0 {
		os.Exit(1)
	}
}

// choose applies the flags.
func (c *config) choose(kinds, names, only string) error {
	if _, ok := systems[c.system]; !ok {
		return fmt.Errorf("unknown system %q", c.system)
	}
	if _, err := exec.LookPath(redistest.Binary()); err != nil {
		return fmt.Errorf("redis-server is not on the PATH (apt-get install redis-server)")
	}
	c.topologies = topologies
	if kinds != "all" {
		c.topologies = strings.Split(kinds, ",")
	}
	for _, t := range c.topologies {
		if !slices.Contains(topologies, t) {
			return fmt.Errorf("unknown topology %q", t)
		}
	}
	if c.system != "baton" {
		names, c.topologies = "mutex", []string{"single"}
		if c.ttl == 0 {
			c.ttl = peerTTL
		}
	}
	c.keys = nil
	wanted := strings.Split(names, ",")
	for _, key := range keys {
		if slices.Contains(wanted, workloadOf(key).name) {
			c.keys = append(c.keys, key)
		}
	}
	for _, w := range workloads {
		wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == w.name })
	}
	if len(wanted) > 0 {
		return fmt.Errorf("unknown primitive %q", wanted)
	}
	c.faults = faults
	if only != "all" {
		c.faults = nil
		for name := range strings.SplitSeq(only, ",") {
			i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
			if i < 0 {
				return fmt.Errorf("unknown fault %q", name)
			}
			c.faults = append(c.faults, faults[i])
		}
	}
	return nil
}
