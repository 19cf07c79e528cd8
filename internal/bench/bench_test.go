package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	list, err := parse("solo,hot-4x8,hot-16x1-1ms," + usual)
	if err != nil {
		t.Fatal(err)
	}
	if h := list[2].row.(*hot); h.processes != 16 || h.goroutines != 1 || h.hold != time.Millisecond {
		t.Errorf("%+v", h)
	}
	for _, bad := range []string{"", "cold", "solo-4", "hot", "hot-", "hot-4", "hot-0x1", "hot-4x8-", "hot-4x8-soon", "own-0", "own-latency", "cluster", "cluster-solo", "cluster-own-0", "readers-4", "permits-x4"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is a row", bad)
		}
	}
	for _, bad := range []string{"baton,nobody", "uncontended"} {
		if _, err := choose(bad); err == nil {
			t.Errorf("%q are systems", bad)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		target
		want string
	}{
		{target{got: series{1, 3, 2}, limit: 2}, "met"},
		{target{got: series{1, 3, 2.1}, limit: 2}, "NOT MET"},
		{target{got: series{1, 3, 2}, limit: 2, least: true}, "met"},
		{target{got: series{1, 3, 1.9}, limit: 2, least: true}, "NOT MET"},
		{target{limit: 2}, "not measured"},
	} {
		if got := c.verdict(); got != c.want {
			t.Errorf("%+v: %s", c.target, got)
		}
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
	if (series{}).cell() != "–" || number(1999.6) != "2,000" || number(0.0123) != "0.012" || number(math.NaN()) != "–" || number(math.Inf(1)) != "∞" {
		t.Errorf("%s %s", number(1999.6), number(0.0123))
	}
}
