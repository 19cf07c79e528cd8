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
	workIfTold()
	goleak.VerifyTestMain(m)
}

// measured returns a copy of a row that was measured once, in small.
func measured(t *testing.T, name, systems string, goroutines int) row {
	t.Helper()
	list, err := chooseRows(name)
	if err != nil {
		t.Fatal(err)
	}
	r, b := *list[0], &bench{server: newServer(redistest.Start(t)), systems: systems, duration: 200 * time.Millisecond, dir: t.TempDir()}
	defer b.close()
	r.processes, r.job.Goroutines, r.results = min(r.processes, 2), min(r.job.Goroutines, goroutines), nil
	if err := r.round(t.Context(), b, 1); err != nil {
		t.Fatal(err)
	}
	if len(b.misses) > 0 {
		t.Error(b.misses)
	}
	for _, g := range r.goals {
		if what, got := r.reached(g); systems == "" && g.verdict(got) == "not measured" {
			t.Errorf("%s is not measured", what)
		}
	}
	if md := r.report().markdown(); !strings.Contains(md, "\n| --- | ---: |") || strings.Count(md, "\n") != len(r.results)+4 {
		t.Error(md)
	}
	return r
}

// TestRows measures a row of each kind for a moment: all systems get the lock. Ours exclude, and
// leave no goroutine waiting.
func TestRows(t *testing.T) {
	for name, systems := range map[string]string{
		"solo": "", "own-4": "", "own-64-latency-5ms": "floor,baton,pipeline", "again-1": "", "again-foreign": lingers + "," + visitFree, "again-pingpong": "",
		"cluster-own-64": "floor,baton,rueidislock-1", "cluster-hot-4x8": "baton", "hot-4x8": "", "readers-1ms": "", "permits-1ms": "",
	} {
		t.Run(name, func(t *testing.T) {
			r := measured(t, name, systems, 12)
			for name, x := range r.results {
				s, _ := systemNamed(name)
				if name != visitFree && (x.failed != 0 || x.figures[rate].median() <= 0 || s.own && x.verdict() != "") {
					t.Errorf("%s: %+v", name, x)
				}
			}
			if r.job.OwnKeys || r.job.Task == "solo" {
				for _, s := range []string{"floor", "baton"} {
					if n := r.results.get(s, requests).median(); (n < 2 || n > 2.5) && !strings.HasPrefix(r.name, "again") {
						t.Errorf("%s takes %v requests, not 2", s, n)
					}
				}
			}
			if r.job.Reads && r.results.get("baton-rw", writeWait) == nil {
				t.Error("nobody writes")
			}
			if r.delay > 0 && r.results.get("baton", trips).median() < 1 {
				t.Error("lock and unlock take less than a round trip")
			}
		})
	}
}

// TestBroken has two processes inside at once, and two readers with a writer: the memory that
// they share shows it.
func TestBroken(t *testing.T) {
	r := *hot(2, 1)
	r.job.Hold, r.results = 20*time.Millisecond, results{}
	servers := newServer(redistest.Start(t))
	defer servers.close()
	s, _ := systemNamed("no lock")
	if err := r.measure(t.Context(), &bench{duration: 300 * time.Millisecond}, servers, s); err != nil {
		t.Fatal(err)
	}
	if x := r.results["no lock"]; !strings.HasPrefix(x.verdict(), "BROKEN") {
		t.Errorf("%d clashes: %s", x.clashes, x.verdict())
	}
	var m sharedMem
	for range permits {
		m.enter(permits)
	}
	if m.clashes.Load() != 0 {
		t.Error("16 are too many")
	}
	if m.enter(permits); m.clashes.Load() != 1 {
		t.Error("17 are not too many")
	}
	if m.read(); m.clashes.Load() != 2 {
		t.Error("a reader may be in with a writer")
	}
	m = sharedMem{}
	m.read()
	if m.read(); m.clashes.Load() != 0 {
		t.Error("two readers exclude one another")
	}
	if m.enter(1); m.clashes.Load() != 1 {
		t.Error("a writer may be in with readers")
	}
}

// TestGoals compares ours with the best peer of all, with the best that is fair, and with none
// that lets two in.
func TestGoals(t *testing.T) {
	system := func(clashes int64, of map[string]series) *result { return &result{figures: of, clashes: clashes} }
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
		what, got := r.reached(c.goal)
		if text := strings.Join([]string{what, c.bound(), got.cell(), c.verdict(got)}, " "); text != c.want {
			t.Errorf("%s\nnot\n%s", text, c.want)
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
			t.Errorf("quantile %v is %v ns, not %v", q, got, want)
		}
	}
	if new(hist).quantile(0.5) != 0 {
		t.Error("an empty hist has a median")
	}
	h.add(time.Hour) // beyond the last bucket it still counts
	if got := h.quantile(1 - 1e-9); got < time.Minute {
		t.Error(got)
	}
	for want, shares := range map[float64][]int64{1: {5, 5, 5}, 1.0 / 3: {9, 0, 0}, 0: {0, 0}} {
		if got := jain(shares); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, not %v", shares, got, want)
		}
	}
	s := series{30, 10, 20, 1234567}
	if s.cell() != "25.0" || s.spread() != "10.0–1,235,000" {
		t.Errorf("%s, %s", s.cell(), s.spread())
	}
	if got := s.over(series{10, 10, 10}); !slices.Equal(got, series{3, 1, 2}) || got.cell() != "2.00" {
		t.Error(got)
	}
	if (series{}).cell() != "–" || number(1999.6) != "2,000" || number(0.0123) != "0.012" || number(math.NaN()) != "–" || number(math.Inf(1)) != "∞" {
		t.Errorf("%s %s", number(1999.6), number(0.0123))
	}
}
