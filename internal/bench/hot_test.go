package main

import "testing"

// TestHot has each system contend for a moment: all of them get the lock, and
// ours excludes, serves every worker and leaves none behind.
func TestHot(t *testing.T) {
	b := testBench(t)
	r := only[*hot](t, b, "hot-2x2")
	for _, sys := range b.having(system.contends) {
		x := r.results[sys.name]
		if x == nil || x.rate[0] == 0 || x.requests[0] <= 0 || x.failed != 0 {
			t.Errorf("%s: %+v", sys.name, x)
			continue
		}
		if v := x.verdict(); sys.own && (v != "held" || x.jain[0] < 0.5) {
			t.Errorf("%s: exclusion: %s, Jain's index %v", sys.name, v, x.jain)
		}
	}
}

// TestHeld has what a loop without contention reaches measured beside.
func TestHeld(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton")
	r := only[*hot](t, b, "hot-2x2-1ms")
	alone, none := r.results["uncontended"], r.results["no lock"]
	if alone == nil || none == nil || alone.rate[0] > 1000 || none.rate[0] > 1000 || alone.rate[0] <= 0 {
		t.Errorf("uncontended %+v, no lock %+v", alone, none)
	}
}

// TestPermits has more goroutines than there are permits.
func TestPermits(t *testing.T) {
	b := testBench(t)
	r := only[*hot](t, b, "permits-2x12")
	for _, sys := range b.having(r.picks) {
		if x := r.results[sys.name]; x.rate[0] <= 0 || x.failed != 0 || x.verdict() != "held" {
			t.Errorf("%s: %+v", sys.name, x)
		}
	}
}

func TestReaders(t *testing.T) {
	b := testBench(t)
	r := only[*readers](t, b, "readers-2x4-1ms")
	for _, lock := range locks {
		if x := r.results[lock]; x.rate[0] <= 0 || x.writes < 1 || x.clashes != 0 || x.failed != 0 {
			t.Errorf("%s: %+v", lock, x)
		}
	}
}

// TestBroken has two processes in at once, and two readers with a writer: what
// they share shows it.
func TestBroken(t *testing.T) {
	b := testBench(t)
	sys, _ := systemNamed("no lock")
	list, err := parse("hot-2x1")
	if err != nil {
		t.Fatal(err)
	}
	r := list[0].row.(*hot)
	if err := r.measure(t.Context(), b, sys, 2, 1, ""); err != nil {
		t.Fatal(err)
	}
	if x := r.results["no lock"]; x.verdict() != "BROKEN" {
		t.Errorf("%d clashes: %s", x.clashes, x.verdict())
	}
	var a arena
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
	a = arena{}
	a.read()
	if a.read(); a.clashes.Load() != 0 {
		t.Error("two readers exclude one another")
	}
	if a.enter(1); a.clashes.Load() != 1 {
		t.Error("a writer may be in with readers")
	}
}
