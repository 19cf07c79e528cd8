package main

import (
	"strings"
	"testing"
	"time"
)

// TestHot has each system contend for a moment: all of them get the lock, and
// ours excludes, serves every worker and leaves none behind.
func TestHot(t *testing.T) {
	b := testBench(t)
	b.duration = 300 * time.Millisecond
	r := only[*hot](t, b, "hot-2x2")
	for _, sys := range b.having(system.contends) {
		x := r.results[sys.name]
		if x == nil || x.served == 0 || x.requests[0] <= 0 || x.failed != 0 {
			t.Errorf("%s: %+v", sys.name, x)
			continue
		}
		if v := x.verdict(); sys.own && (v != "held" || x.jain[0] < 0.5) {
			t.Errorf("%s: exclusion: %s, Jain's index %v", sys.name, v, x.jain)
		}
	}
}

// TestClusterHot has baton exclude on a cluster.
func TestClusterHot(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton")
	r := only[clusterRow](t, b, "cluster-hot-2x2").row.(*hot)
	if x := r.results["baton"]; x.served == 0 || x.verdict() != "held" {
		t.Errorf("%+v", x)
	}
}

// TestHeld has what a loop without contention reaches measured beside.
func TestHeld(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton")
	r := only[*hot](t, b, "hot-2x2-1ms")
	alone, none := r.results["uncontended"], r.results["no lock"]
	if alone == nil || none == nil || alone.rate[0] > 1000 || none.rate[0] > 1000 || alone.served == 0 {
		t.Errorf("uncontended %+v, no lock %+v", alone, none)
	}
}

// TestPermits has more goroutines than there are permits, who hold them for long
// enough to be in at once.
func TestPermits(t *testing.T) {
	b := testBench(t)
	r := only[*hot](t, b, "permits-2x12-1ms")
	for _, sys := range b.having(r.picks) {
		if x := r.results[sys.name]; x.served == 0 || x.failed != 0 || x.clashes != 0 {
			t.Errorf("%s: %+v", sys.name, x)
		}
	}
	if r.results["uncontended"] != nil {
		t.Error("a lock is no yardstick for permits")
	}
}

func TestReaders(t *testing.T) {
	b := testBench(t)
	r := only[*readers](t, b, "readers-2x4-1ms")
	for _, lock := range locks {
		if x := r.results[lock]; x.rate[0] <= 0 || x.writes < 1 && lock != inProcess || x.clashes != 0 || x.failed != 0 {
			t.Errorf("%s: %+v", lock, x)
		}
	}
}

// TestBroken has two processes in at once, and two readers with a writer: what
// they share shows it.
func TestBroken(t *testing.T) {
	b := testBench(t)
	sys, _ := systemNamed("no lock")
	b.duration = 300 * time.Millisecond
	list, err := parse("hot-2x1-20ms")
	if err != nil {
		t.Fatal(err)
	}
	r := list[0].row.(*hot)
	if err := r.measure(t.Context(), b, sys, 2, 1); err != nil {
		t.Fatal(err)
	}
	if x := r.results["no lock"]; x.verdict() != "BROKEN" {
		t.Errorf("%d clashes: %s", x.clashes, x.verdict())
	}
	var a sharedMem
	for range permits {
		a.enter(permits)
	}
	if a.clashes.Load() != 0 {
		t.Error("16 are too many")
	}
	if a.enter(permits); a.clashes.Load() != 1 {
		t.Error("17 are not too many")
	}
	if a.read(); a.clashes.Load() != 2 {
		t.Error("a reader may be in with a writer")
	}
	a = sharedMem{}
	a.read()
	if a.read(); a.clashes.Load() != 0 {
		t.Error("two readers exclude one another")
	}
	if a.enter(1); a.clashes.Load() != 1 {
		t.Error("a writer may be in with readers")
	}
}

// TestHotTargets has ours compared with the best peer of all, with the best that
// is fair, and with none that lets two in.
func TestHotTargets(t *testing.T) {
	r := &hot{
		name: "hot-16x1", processes: 16, goroutines: 1, hold: time.Millisecond, ours: "baton",
		results: results{
			"baton":       {rate: series{120, 130, 90}, p99: series{4000, 4000, 4000}, jain: series{1}, requests: series{2}},
			"redislock":   {rate: series{100, 100, 100}, p99: series{2000, 2000, 2000}, jain: series{0.6}},
			"redsync":     {rate: series{50, 50, 50}, p99: series{40000, 40000, 40000}, jain: series{0.95}},
			"spin":        {rate: series{500, 500, 500}, p99: series{1000, 1000, 1000}, jain: series{1}, clashes: 1},
			"uncontended": {rate: series{200, 200, 200}, p99: series{0, 0, 0}, jain: series{1}},
		},
	}
	var said []string
	for _, x := range r.targets(&bench{systems: systems}) {
		said = append(said, strings.Join([]string{x.what, x.bound(), x.got.cell(), x.verdict()}, "; "))
	}
	want := `holds/s, × those of the best peer (redislock); ≥ 1.20; 1.20; met
p99 wait, × that of the best peer (redislock); ≤ 0.125; 2.00; NOT MET
holds/s, × those of the best peer with Jain's index ≥ 0.9 (redsync); ≥ 1.20; 2.40; met
p99 wait, × that of the best peer with Jain's index ≥ 0.9 (redsync); ≤ 0.125; 0.100; met
Jain's index; ≥ 0.990; 1.00; met
requests a hold; ≤ 2.10; 2.00; met`
	if got := strings.Join(said, "\n"); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
	r.name = "hot-4x8-1ms"
	for i, want := range []string{"1.00", "0.600", "0.250"} {
		if x := r.targets(&bench{systems: systems})[i]; x.got.cell() != want {
			t.Errorf("%s: %s, not %s", x.what, x.got.cell(), want)
		}
	}
}
