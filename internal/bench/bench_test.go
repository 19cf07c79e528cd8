package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func testBench(t *testing.T) *bench {
	s := newServer(redistest.Start(t))
	t.Cleanup(s.hangUp)
	return &bench{server: s, duration: 300 * time.Millisecond}
}

// TestHot has each system contend for a moment: all of them get the lock, and
// ours excludes, serves every worker and leaves none behind.
func TestHot(t *testing.T) {
	b := testBench(t)
	for _, sys := range systems {
		if sys.soloOnly {
			continue
		}
		t.Run(sys.name, func(t *testing.T) {
			r, err := newHot("hot-2x2")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.measure(t.Context(), b, sys, ""); err != nil {
				t.Fatal(err)
			}
			x := r.results[sys.name]
			if x.rate[0] == 0 || x.requests[0] <= 0 || x.failed != 0 {
				t.Errorf("%v holds/s, %v requests/hold, %d calls failed: %s", x.rate, x.requests, x.failed, x.why)
			}
			if v := x.verdict(); sys.own && (v != "held" || x.jain[0] < 0.5) {
				t.Errorf("exclusion: %s, Jain's index %v", v, x.jain)
			}
		})
	}
}

func TestSolo(t *testing.T) {
	b := testBench(t)
	b.systems, b.duration = systems, slice
	r := newSolo()
	if err := r.round(t.Context(), b, 1); err != nil {
		t.Fatal(err)
	}
	if n := r.results["floor"].requests[0]; n < 2 || n > 2.5 {
		t.Errorf("the floor takes %v requests, not 2", n)
	}
	report := r.report(b)
	if text := report.text(); len(report.lines) != len(systems) || strings.Contains(text, "NaN") {
		t.Error(text)
	}
	if md := report.markdown(); !strings.Contains(md, "| --- | ---: |") || !strings.Contains(md, "| floor | ") {
		t.Error(md)
	}
}

// TestBroken has two processes in at once: what they share shows it.
func TestBroken(t *testing.T) {
	b := testBench(t)
	sys, _ := systemNamed("none")
	r, err := newHot("hot-2x1")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.measure(t.Context(), b, sys, ""); err != nil {
		t.Fatal(err)
	}
	if x := r.results["none"]; x.verdict() != "BROKEN" {
		t.Errorf("%d clashes: %s", x.clashes, x.verdict())
	}
}

func TestParse(t *testing.T) {
	rows, err := parse("solo,hot-4x8,hot-16x1-1ms")
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	if h := rows[2].(*hot); h.processes != 16 || h.goroutines != 1 || h.hold != time.Millisecond {
		t.Errorf("%+v", h)
	}
	for _, bad := range []string{"", "cold", "hot-", "hot-4", "hot-0x1", "hot-4x8-", "hot-4x8-soon"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is a row", bad)
		}
	}
	if _, err := choose("baton,nobody"); err == nil {
		t.Error("nobody is a system")
	}
}

func TestHist(t *testing.T) {
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
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		shares []int64
		want   float64
	}{{[]int64{5, 5, 5}, 1}, {[]int64{9, 0, 0}, 1.0 / 3}, {[]int64{0, 0}, 0}} {
		if got := jain(c.shares); got-c.want > 1e-9 || c.want-got > 1e-9 {
			t.Errorf("%v: %v, not %v", c.shares, got, c.want)
		}
	}
}

func TestSeries(t *testing.T) {
	s := series{30, 10, 20, 1234567}
	if s.cell() != "25.0" || s.spread() != "10.0–1,235,000" {
		t.Errorf("%s, %s", s.cell(), s.spread())
	}
	if got := s.over(series{10, 10, 10}); !slices.Equal(got, series{3, 1, 2}) || got.cell() != "2.00" {
		t.Error(got)
	}
	if (series{}).cell() != "–" || number(1999.6) != "2,000" || number(0.0123) != "0.012" {
		t.Errorf("%s %s", number(1999.6), number(0.0123))
	}
}
