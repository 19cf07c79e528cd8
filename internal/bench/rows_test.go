package main

import (
	"slices"
	"strings"
	"testing"
	"time"
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
		t.Error(report.text())
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

// TestIdle sees that a poller asks often, and ours does not.
func TestIdle(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton,redislock-1ms")
	r := only[*idle](t, b, "idle-2x4")
	ours, poller := r.results["baton"], r.results["redislock-1ms"]
	if poller.waiting[0] < 20 || ours.waiting[0] > poller.waiting[0]/10 {
		t.Errorf("%v requests a second, the poller %v", ours.waiting, poller.waiting)
	}
}

func TestRenew(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton,redsync")
	r := only[*renew](t, b, "renew-50-1s")
	if x := r.results["baton"]; x.commands[0] < 1 {
		t.Errorf("%+v", x)
	}
	if r.results["redsync"] != nil || !strings.Contains(r.report(b)[0].text(), "not renewed unless") {
		t.Error("redsync renews")
	}
}

// TestCrash has a holder killed: the next gets the lock after the expiry.
func TestCrash(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton,rueidislock,redsync-1ms")
	r := only[*crash](t, b, "crash-2s")
	for name, x := range r.results {
		if len(x.after) == 0 || name == "baton" && x.early != 0 {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// TestEarly has a grant before the expiry be seen.
func TestEarly(t *testing.T) {
	now := time.Now()
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	x := new(crashResult)
	x.add(at(0), at(2), 100*time.Millisecond, at(131), at(0)) // 101 to 131
	x.add(at(0), at(2), 100*time.Millisecond, at(90), at(0))  // early
	x.add(at(0), at(2), 100*time.Millisecond, at(-5), at(0))  // the holder still lived
	x.add(at(0), at(2), 100*time.Millisecond, at(-5), at(-9)) // before it could be asked for
	x.add(at(0), at(2), -2, at(50), at(0))                    // had expired
	if !slices.Equal(x.after, series{30}) || x.early != 2 {
		t.Errorf("%+v", x)
	}
}

func TestMem(t *testing.T) {
	b := testBench(t)
	r := only[*mem](t, b, "mem-2000")
	if x := r.results["receive"]; x.bytes[0] < 1000 || x.goroutines[0] != 1 {
		t.Errorf("a goroutine takes %+v", x)
	}
	if x := r.results["LockChan"]; x.bytes[0] < 100 || x.goroutines[0] > 0.1 {
		t.Errorf("a channel takes %+v", x)
	}
	if x := r.results["LockContext"]; x.goroutines[0] < 1 || r.besides("LockContext")[0] < 10 {
		t.Errorf("LockContext takes %+v", x)
	}
}

func TestKeys(t *testing.T) {
	b := testBench(t)
	r := only[*keys](t, b, "keys-2000")
	if x := r.result; x.failed != 0 || x.redis[0] < 10 || x.goroutines[0] > 10 {
		t.Errorf("%+v", x)
	}
}
