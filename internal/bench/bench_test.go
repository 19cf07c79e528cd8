package main

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	theirs "golang.org/x/sync/semaphore"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	ours "github.com/seed-3d5fec5c/baton/semaphore"
)

func TestMain(m *testing.M) {
	runWorker()
	goleak.VerifyTestMain(m)
}

// TestRows measures a row of each kind briefly. All systems acquire the lock. Baton's systems exclude,
// and leave no goroutine waiting.
func TestRows(t *testing.T) {
	b := new(bench)
	b.start(t)
	for name, systems := range map[string]string{
		"solo": "", "own-64-latency-5ms": "floor,baton,pipeline", "again-foreign": batonLinger + "," + batonLingerFree, "again-pingpong": "",
		"cluster-own-64": "floor,baton,rueidislock-1", "hot-4x8": "", "readers-1ms": "", "permits-1ms": "",
	} {
		t.Run(name, func(t *testing.T) {
			r := *chosen(name)[0]
			r.processes, r.job.Goroutines, r.visits = min(r.processes, 2), min(r.job.Goroutines, 12), min(r.visits, 6)
			r.results = map[string]*result{}
			b.systems, b.duration = systems, 150*time.Millisecond
			for r.round(t.Context(), b, 1); r.idle() && b.duration < redistest.Patience; b.duration *= 4 { // the machine was too slow
				r.results = map[string]*result{}
				r.round(t.Context(), b, 1)
			}
			if r.idle() || len(b.notMeasured) > 0 {
				t.Errorf("not measured: %v\n%s", b.notMeasured, r.markdown())
			}
			for name, x := range r.results {
				if s, _ := systemNamed(name); x.failed != 0 || s.ours && x.verdict() != "" {
					t.Errorf("%s: %+v", name, x)
				}
			}
			for _, s := range []string{"floor", "baton"} {
				n := r.get(s, requests).median()
				if (r.job.OwnKeys || r.job.Task == "solo") && (n < 2 || n > 2.5) {
					t.Errorf("%s takes %v requests, want 2", s, n)
				}
			}
			if r.delay > 0 && r.get("baton", trips).median() < 1 {
				t.Error("lock and unlock take less than a round trip")
			}
			for _, g := range r.goals {
				if cells := r.evaluate(g); systems == "" && cells[4] == "not measured" {
					t.Errorf("%s is not measured", cells[0])
				}
			}
			if md := r.markdown(); !strings.Contains(md, "\n| --- | ---: |") || strings.Count(md, "\n") != len(r.results)+4 {
				t.Error(md)
			}
		})
	}
}

// idle reports whether a system has not been granted the lock in time, or none has written.
func (r *row) idle() bool {
	for name, x := range r.results {
		if name != batonLingerFree && x.figures[rate].median() <= 0 {
			return true
		}
	}
	return r.job.Reads && r.get("baton-rw", writeWait) == nil
}

// TestBroken: the shared memory detects two processes inside at once, and readers with a writer.
func TestBroken(t *testing.T) {
	r := *hot(2, 1)
	r.job.Hold, r.results = 20*time.Millisecond, map[string]*result{}
	none, _ := systemNamed("no lock")
	b := &bench{duration: 300 * time.Millisecond}
	b.start(t)
	for ; b.duration < redistest.Patience; b.duration *= 4 { // the processes may not run at the same time
		if r.measure(b, b.server, none); r.results["no lock"].clashes > 0 {
			break
		}
	}
	if text := r.markdown(); !strings.Contains(text, "BROKEN") {
		t.Error(text)
	}
	var m sharedMem
	for range permits {
		m.enter(permits)
	}
	for i, c := range []struct {
		name  string
		enter func()
		want  int64 // clashes so far
	}{
		{"16 holders of 16 permits", func() {}, 0},
		{"17 holders of 16 permits", func() { m.enter(permits) }, 1},
		{"a reader with a writer", func() { m.read() }, 2},
		{"two readers", func() { m.inside.Store(0); m.read() }, 2},
		{"a writer with readers", func() { m.enter(1) }, 3},
	} {
		if c.enter(); m.clashes.Load() != c.want {
			t.Errorf("%d: %s: %d clashes, want %d", i, c.name, m.clashes.Load(), c.want)
		}
	}
}

// TestGoals compares baton with the best peer, with the best fair peer, and never with a peer that does
// not exclude.
func TestGoals(t *testing.T) {
	system := func(clashes int64, figures map[string]series) *result {
		return &result{figures: figures, clashes: clashes}
	}
	r := &row{name: "row", results: map[string]*result{
		"baton":     system(0, map[string]series{rate: {120, 130, 90}, p99: {4000, 4000, 4000}}),
		"redislock": system(0, map[string]series{rate: {100, 100, 100}, p99: {2000, 2000, 2000}, jains: {0.6}}),
		"redsync":   system(0, map[string]series{rate: {50, 50, 50}, p99: {40000, 40000, 40000}, jains: {0.95}}),
		"spin":      system(1, map[string]series{rate: {500, 500, 500}, p99: {1000, 1000, 1000}, jains: {1}}),
	}}
	for _, c := range []struct {
		goal
		want string
	}{
		{goal{"baton", rate, best, 1.2}, "holds/s, × that of the best peer redislock ≥ 1.20 1.20 0.900–1.30 met"},
		{goal{"baton", rate, best, 1.3}, "holds/s, × that of the best peer redislock ≥ 1.30 1.20 0.900–1.30 NOT MET"},
		{goal{"baton", p99, best, 0.125}, "p99 µs, × that of the best peer redislock ≤ 0.125 2.00 2.00–2.00 NOT MET"},
		{goal{"baton", p99, bestFair, 0.125}, "p99 µs, × that of the best fair peer redsync ≤ 0.125 0.100 0.100–0.100 met"},
		{goal{"baton", rate, "redsync", 2}, "holds/s, × that of redsync ≥ 2.00 2.40 1.80–2.60 met"},
		{goal{"baton", jains, "", 0.9}, "Jain ≥ 0.900 – – not measured"},
	} {
		if text := strings.Join(r.evaluate(c.goal), " "); text != "row: baton: "+c.want {
			t.Errorf("%s\nwant\n%s", text, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	var h hist
	if h.quantile(0.5) != 0 {
		t.Error("an empty hist has a median")
	}
	for i := range 100_000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for _, q := range []float64{0.01, 0.5, 0.99} {
		want := q * 1e8
		if got := float64(h.quantile(q)); got < 0.96*want || got > 1.04*want {
			t.Errorf("quantile %v is %v ns, want %v", q, got, want)
		}
	}
	h.add(time.Hour) // counts in the last bucket
	if got := h.quantile(1); got < time.Minute {
		t.Error(got)
	}
	for want, shares := range map[float64][]int64{1: {5, 5, 5}, 1.0 / 3: {9, 0, 0}, 0: {0, 0}} {
		if got := jain(shares); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, want %v", shares, got, want)
		}
	}
	s := series{30, 10, 20, 1234567}
	if s.cell() != "25.0" || s.spread() != "10.0–1234567" {
		t.Errorf("%s, %s", s.cell(), s.spread())
	}
	if got := s.ratioTo(series{10, 10, 10}); !slices.Equal(got, series{3, 1, 2}) || got.cell() != "2.00" {
		t.Error(got)
	}
	for x, want := range map[float64]string{0: "0.000", 0.0123: "0.012", 7: "7.00", 99.94: "99.9", 123.4: "123", 1999.6: "2000", math.Inf(1): "+Inf"} {
		if got := number(x); got != want {
			t.Errorf("%v is %s, want %s", x, got, want)
		}
	}
	if (series{}).cell() != "–" {
		t.Error("a series without values has a median")
	}
}

// TestWeightedMethods checks that baton's Weighted has every method of x/sync's Weighted, with the
// same signature. It is here so that x/sync does not become a dependency of baton.
func TestWeightedMethods(t *testing.T) {
	a, b := reflect.TypeFor[*ours.Weighted](), reflect.TypeFor[*theirs.Weighted]()
	if b.NumMethod() == 0 {
		t.Error("x/sync's Weighted has no methods")
	}
	for i := range b.NumMethod() {
		name := b.Method(i).Name
		want := reflect.Zero(b).Method(i).Type()
		if got := reflect.Zero(a).MethodByName(name); !got.IsValid() || got.Type() != want {
			t.Errorf("Weighted has no %s %v", name, want)
		}
	}
}
