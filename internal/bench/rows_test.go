package main

import (
	"strings"
	"testing"
)

func TestSolo(t *testing.T) {
	b := testBench(t)
	b.duration = slice
	r := only[*solo](t, b, "solo")
	if n := r.results["floor"].requests[0]; n < 2 || n > 2.5 {
		t.Errorf("the floor takes %v requests, not 2", n)
	}
	report := r.report(b)[0]
	if len(report.lines) != len(r.results) || r.results["baton-permits"] != nil {
		t.Error(report.markdown())
	}
	if md := report.markdown(); !strings.Contains(md, "| --- | ---: |") || !strings.Contains(md, "| floor | ") {
		t.Error(md)
	}
}

func TestOwn(t *testing.T) {
	b := testBench(t)
	r := only[*own](t, b, "own-4")
	for _, sys := range append(b.having(system.ownsKeys), batching()...) {
		if x := r.results[sys.name]; x == nil || x.rate[0] <= 0 || x.failed != 0 || sys.own && (x.requests[0] < 2 || x.requests[0] > 2.5) {
			t.Errorf("%s: %+v", sys.name, x)
		}
	}
}

// TestClusterOwn counts the requests of all masters.
func TestClusterOwn(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "floor,baton,rueidislock-1")
	r := only[clusterRow](t, b, "cluster-own-8").row.(*own)
	for _, sys := range b.systems {
		if x := r.results[sys.name]; x == nil || x.failed != 0 || x.requests[0] < 2 || x.requests[0] > 2.5 {
			t.Errorf("%s: %+v", sys.name, x)
		}
	}
	if n := len(b.cluster.peers); n != masters-1 || r.results["pipeline"] != nil {
		t.Errorf("%d peers, pipeline %+v", n, r.results["pipeline"])
	}
}

// TestOwnLatency has each call take at least a round trip.
func TestOwnLatency(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "floor,baton")
	r := only[*latency](t, b, "own-4-latency")
	for _, name := range []string{"floor", "baton", "pipeline"} {
		for _, delay := range delays {
			if x := r.results[name][delay]; x == nil || x.failed != 0 || x.lock[0] < 0.5 || x.unlock[0] < 0.5 {
				t.Errorf("%s, %v: %+v", name, delay, x)
			}
		}
	}
}
