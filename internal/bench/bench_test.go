package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	runWorker()
	goleak.VerifyTestMain(m)
}

// measured returns a copy of a row, measured once at a small size.
func measured(t *testing.T, name, systems string, goroutines int, duration time.Duration) row {
	t.Helper()
	list, err := chooseRows(name)
	if err != nil {
		t.Fatal(err)
	}
	r, b := *list[0], &bench{server: newServer(redistest.Start(t)), systems: systems, duration: duration, dir: t.TempDir()}
	defer b.close()
	r.processes, r.job.Goroutines, r.results = min(r.processes, 2), min(r.job.Goroutines, goroutines), nil
	if err := r.round(t.Context(), b, 1); err != nil {
		t.Fatal(err)
	}
	if len(b.notMeasured) > 0 {
		t.Error(b.notMeasured)
	}
	for _, g := range r.goals {
		if desc, got := r.evaluate(g); systems == "" && g.verdict(got) == "not measured" {
			t.Errorf("%s is not measured", desc)
		}
	}
	if md := r.report().markdown(); !strings.Contains(md, "\n| --- | ---: |") || strings.Count(md, "\n") != len(r.results)+4 {
		t.Error(md)
	}
	return r
}

// TestRows measures a row of each kind briefly. All systems acquire the lock. Baton's systems exclude,
// and leave no goroutine waiting.
func TestRows(t *testing.T) {
	for name, systems := range map[string]string{
		"solo": "", "own-4": "", "own-64-latency-5ms": "floor,baton,pipeline", "again-1": "", "again-foreign": batonLinger + "," + batonLingerFree, "again-pingpong": "",
		"cluster-own-64": "floor,baton,rueidislock-1", "cluster-hot-4x8": "baton", "hot-4x8": "", "readers-1ms": "", "permits-1ms": "",
	} {
		t.Run(name, func(t *testing.T) {
			d := 200 * time.Millisecond
			r := measured(t, name, systems, 12, d)
			for d *= 4; idle(r) && d < redistest.Patience; d *= 4 { // the machine was too slow
				r = measured(t, name, systems, 12, d)
			}
			for name, x := range r.results {
				s, _ := systemNamed(name)
				if name != batonLingerFree && (x.failed != 0 || x.figures[rate].median() <= 0 || s.ours && x.verdict() != "") {
					t.Errorf("%s: %+v", name, x)
				}
			}
			if r.job.OwnKeys || r.job.Task == "solo" {
				for _, s := range []string{"floor", "baton"} {
					if n := r.results.get(s, requests).median(); (n < 2 || n > 2.5) && !strings.HasPrefix(r.name, "again") {
						t.Errorf("%s takes %v requests, want 2", s, n)
					}
				}
			}
			if r.job.Reads && r.results.get("baton-rw", writeWait) == nil {
				t.Error("no goroutine writes")
			}
			if r.delay > 0 && r.results.get("baton", trips).median() < 1 {
				t.Error("lock and unlock take less than a round trip")
			}
		})
	}
}

// idle reports whether a system has not been granted the lock in time, or none has written.
func idle(r row) bool {
	for name, x := range r.results {
		if name != batonLingerFree && x.figures[rate].median() <= 0 {
			return true
		}
	}
	return r.job.Reads && r.results.get("baton-rw", writeWait) == nil
}

// TestBroken: the shared memory detects two processes inside at once, and readers with a writer.
func TestBroken(t *testing.T) {
	r := *hot(2, 1)
	r.job.Hold, r.results = 20*time.Millisecond, results{}
	servers := newServer(redistest.Start(t))
	defer servers.close()
	s, _ := systemNamed("no lock")
	var x *result
	for d := 300 * time.Millisecond; (x == nil || x.clashes == 0) && d < redistest.Patience; d *= 4 { // the processes may not run at the same time
		if err := r.measure(t.Context(), &bench{duration: d}, servers, s); err != nil {
			t.Fatal(err)
		}
		x = r.results["no lock"]
	}
	if !strings.HasPrefix(x.verdict(), "BROKEN") {
		t.Errorf("%d clashes: %s", x.clashes, x.verdict())
	}
	var m sharedMem
	for range permits {
		m.enter(permits)
	}
	if m.clashes.Load() != 0 {
		t.Error("16 holders of 16 permits clash")
	}
	if m.enter(permits); m.clashes.Load() != 1 {
		t.Error("17 holders of 16 permits do not clash")
	}
	if m.read(); m.clashes.Load() != 2 {
		t.Error("a reader with a writer does not clash")
	}
	m = sharedMem{}
	m.read()
	if m.read(); m.clashes.Load() != 0 {
		t.Error("two readers clash")
	}
	if m.enter(1); m.clashes.Load() != 1 {
		t.Error("a writer with readers does not clash")
	}
}

// TestGoals compares baton with the best peer, with the best fair peer, and never with a peer that does
// not exclude.
func TestGoals(t *testing.T) {
	system := func(clashes int64, figures map[string]series) *result {
		return &result{figures: figures, clashes: clashes}
	}
	r := &row{name: "row", results: results{
		"baton":     system(0, map[string]series{rate: {120, 130, 90}, p99: {4000, 4000, 4000}}),
		"redislock": system(0, map[string]series{rate: {100, 100, 100}, p99: {2000, 2000, 2000}, jains: {0.6}}),
		"redsync":   system(0, map[string]series{rate: {50, 50, 50}, p99: {40000, 40000, 40000}, jains: {0.95}}),
		"spin":      system(1, map[string]series{rate: {500, 500, 500}, p99: {1000, 1000, 1000}, jains: {1}}),
	}}
	for _, c := range []struct {
		goal
		want string
	}{
		{goal{"baton", rate, best, 1.2, true}, "row: baton: holds/s, × that of the best peer redislock ≥ 1.20 1.20 met"},
		{goal{"baton", rate, best, 1.3, true}, "row: baton: holds/s, × that of the best peer redislock ≥ 1.30 1.20 NOT MET"},
		{goal{"baton", p99, best, 0.125, false}, "row: baton: p99 µs, × that of the best peer redislock ≤ 0.125 2.00 NOT MET"},
		{goal{"baton", p99, bestFair, 0.125, false}, "row: baton: p99 µs, × that of the best fair peer redsync ≤ 0.125 0.100 met"},
		{goal{"baton", rate, "redsync", 2, true}, "row: baton: holds/s, × that of redsync ≥ 2.00 2.40 met"},
		{goal{"baton", jains, "", 0.9, true}, "row: baton: Jain ≥ 0.900 – not measured"},
	} {
		desc, got := r.evaluate(c.goal)
		if text := strings.Join([]string{desc, c.bound(), got.cell(), c.verdict(got)}, " "); text != c.want {
			t.Errorf("%s\nwant\n%s", text, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	var h hist
	for i := range 100_000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for _, q := range []float64{0.01, 0.5, 0.99} {
		want := q * 1e8
		if got := float64(h.quantile(q)); got < 0.96*want || got > 1.04*want {
			t.Errorf("quantile %v is %v ns, want %v", q, got, want)
		}
	}
	if new(hist).quantile(0.5) != 0 {
		t.Error("an empty hist has a median")
	}
	h.add(time.Hour) // counts in the last bucket
	if got := h.quantile(1 - 1e-9); got < time.Minute {
		t.Error(got)
	}
	for want, shares := range map[float64][]int64{1: {5, 5, 5}, 1.0 / 3: {9, 0, 0}, 0: {0, 0}} {
		if got := jain(shares); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, want %v", shares, got, want)
		}
	}
	s := series{30, 10, 20, 1234567}
	if s.cell() != "25.0" || s.spread() != "10.0–1,235,000" {
		t.Errorf("%s, %s", s.cell(), s.spread())
	}
	if got := s.ratioTo(series{10, 10, 10}); !slices.Equal(got, series{3, 1, 2}) || got.cell() != "2.00" {
		t.Error(got)
	}
	if (series{}).cell() != "–" || number(1999.6) != "2,000" || number(0.0123) != "0.012" || number(math.NaN()) != "–" || number(math.Inf(1)) != "∞" {
		t.Errorf("%s %s", number(1999.6), number(0.0123))
	}
}
