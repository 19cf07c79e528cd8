package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	runWorker()
	redistest.Main(m, nil)
}

// run runs a soak with these flags, or skips the test if there is no server.
func run(t *testing.T, c *config, topology, faults string) *report {
	t.Helper()
	redistest.Start(t) // skips
	c.verbose = testing.Verbose()
	if err := c.choose(topology, "all", faults); err != nil {
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
	t.Parallel()
	c := &config{system: "baton", duration: 4 * time.Second, seed: uint64(time.Now().UnixNano()), ttl: time.Second}
	r := run(t, c, "aof", "cut-reply,black-hole,worker-kill,worker-stop,drop-messages,restart-aof")
	for _, v := range r.violations {
		t.Errorf("seed %d: %v", c.seed, v)
	}
	if r.total().n[counted] == 0 || r.aofGrants == 0 {
		t.Errorf("%d fault runs counted, and the append-only file has %d grants", r.total().n[counted], r.aofGrants)
	}
	if testing.Verbose() {
		r.print(os.Stdout)
	}
}

func TestCountersOfFaultsExist(t *testing.T) {
	for _, f := range faults {
		_, ok := reflect.TypeFor[redistest.Faults]().FieldByName(f.counter)
		if !ok && f.counter != "" && !strings.HasPrefix(f.counter, "errorstat_") {
			t.Errorf("%s: redistest.Faults has no %s", f.name, f.counter)
		}
	}
}

// TestControlGroup: the same workers, faults and checks find the known problems of other libraries.
func TestControlGroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system, rows, fault, rule string
		ttl                       time.Duration
	}{
		{"redislock", "30", "delay", "L", peerTTL},
		{"redislock", "32", "lose-reply", "E", peerTTL},
		{"redsync", "30", "delay", "L", peerTTL},
		{"redsync", "32", "cut-reply", "E", peerTTL},
		{"rueidislock", "32", "cut-reply", "L", peerTTL},
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
			t.Errorf("%d fault runs of %s found no violation of %s", r.rows[0].n[runs], c.fault, c.rule)
		})
	}
}
