package main

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// run runs a soak with these flags, or skips the test if there is no server.
func run(t *testing.T, c *config, topology, faults string) *report {
	t.Helper()
	redistest.Start(t) // skips
	c.workers, c.verbose = 3, testing.Verbose()
	if c.faultsPerRun == 0 {
		c.faultsPerRun = 12
	}
	if err := c.choose(topology, "mutex,pool,rwmutex,semaphore,waitgroup,limiter,election,once,flight", faults); err != nil {
		t.Fatal(err)
	}
	r, err := c.soak(t.Context())
	if err != nil {
		t.Fatalf("seed %d: %v", c.seed, err)
	}
	return r
}

// TestSoak runs a short soak with one topology and a few faults.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := run(t, &config{system: "baton", duration: 8 * time.Second, seed: seed, ttl: time.Second}, "aof",
		"cut-reply,black-hole,worker-kill,worker-stop,drop-messages,restart-aof")
	for _, v := range r.violations {
		t.Errorf("seed %d: %v", seed, v)
	}
	var b strings.Builder
	r.print(&b)
	t.Log("\n" + b.String())
	counted := 0
	for _, w := range r.rows {
		counted += w.counted
	}
	if counted == 0 || r.aofGrants == 0 {
		t.Errorf("%d fault runs counted, and the append-only file has %d grants", counted, r.aofGrants)
	}
}

// TestControlGroup: the same workers, faults and checks find the known problems of other libraries.
func TestControlGroup(t *testing.T) {
	for _, c := range []struct {
		system, rows, fault, rule string
		ttl                       time.Duration
	}{
		{"redislock", "30", "delay", "L", 12 * time.Second},
		{"redislock", "32", "lose-reply", "E", 12 * time.Second},
		{"redsync", "30", "delay", "L", 12 * time.Second},
		{"redsync", "32", "cut-reply", "E", 12 * time.Second},
		{"rueidislock", "32", "cut-reply", "L", 12 * time.Second},
		{"rueidislock", "35", "cut-off-holder", "S1", time.Second},
	} {
		t.Run(c.system+" row "+c.rows, func(t *testing.T) {
			t.Parallel()
			r := run(t, &config{system: c.system, duration: 2 * time.Minute, seed: 5, ttl: c.ttl, until: c.rule}, "single", c.fault)
			for _, v := range r.violations {
				if v.rule == c.rule {
					t.Log(v)
					return
				}
			}
			t.Errorf("%d fault runs of %s found no violation of %s", r.rows[0].episodes, c.fault, c.rule)
		})
	}
}
