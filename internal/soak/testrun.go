package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A testRun is an epoch: a topology and a fleet, and a number of episodes with a fault in
// each. What it leaves is checked at its end.
type testRun struct {
	*config
	*report
	random   *rand.Rand
	ttl      time.Duration
	topology *topology
	fleet    *fleet
	timeline *timeline
	clients  []int           // connections of each master, before there were any workers
	seen     map[string]bool // violations that were counted
}

// run runs an epoch of the given faults, or those that come before ctx ends.
func (c *config) run(ctx context.Context, h *harness, kind string, list []fault, random *rand.Rand, r *report) {
	tr := &testRun{config: c, report: r, random: random, ttl: c.ttl, timeline: &timeline{spans: map[int64]*interval{}}, seen: map[string]bool{}}
	if tr.ttl == 0 {
		tr.ttl = time.Duration(500+random.IntN(1501)) * time.Millisecond
	}
	tr.topology = newTopology(h, kind)
	for _, n := range tr.topology.masters() {
		count := must(strconv.Atoi(n.info("connected_clients")))
		tr.clients = append(tr.clients, count+1) // a replica's connection may come or go, and our own for questions
	}
	tr.fleet = newFleet(h, plan{System: c.system, TTL: tr.ttl, Seed: random.Uint64(), Keys: c.keys}, tr.topology, c.workers)
	r.runs++
	var last *row
	for _, f := range list {
		if ctx.Err() != nil || c.enough(r) {
			break
		}
		last = tr.runFault(f)
	}
	leaks := tr.fleet.stop(tr.timeline)
	var found []violation
	if tr.system == "baton" {
		leaks = append(leaks, tr.rest()...)
		found = tr.truth()
	}
	r.leaks += len(leaks)
	tr.found(slices.Concat(leaks, tr.check(), found), last)
}

// enough grants of each key, before and after a fault, make an episode count.
const enough = 3

// runFault waits until all keys are granted, injects the fault, and waits until they
// are granted again and everybody who waited has an answer, or the time for that is
// over. Then it checks.
func (tr *testRun) runFault(f fault) *row {
	row := tr.row(f, tr.topology.kind)
	row.episodes++
	began := now()
	var before map[string]int
	eventually(30*time.Second, func() bool {
		before = tr.grants(began)
		return tr.lacks("", before) == ""
	})
	x := &injection{testRun: tr, random: rand.New(rand.NewPCG(tr.random.Uint64(), 0)), from: now()}
	f.inject(x)
	x.healed = now()
	during := sum(tr.grants(x.from))
	list := tr.recover(f, x, row)
	after := tr.grants(x.healed)

	row.before += sum(before)
	row.during += during
	row.after += sum(after)
	why := tr.lacks("before", before) + tr.lacks("after", after)
	if x.proof != "" {
		row.fired++
	} else {
		why += "; it did not fire"
	}
	if why == "" {
		row.counted++
	} else {
		row.why = append(row.why, strings.TrimPrefix(why, "; "))
	}
	if tr.verbose {
		fmt.Fprintf(os.Stderr, "%s, TTL %v: %s, %.2f s: %s; grants %d, %d, %d%s\n", tr.topology.kind, tr.ttl, f.name,
			float64(x.healed-x.from)/1e9, x.proof, sum(before), during, sum(after), why)
	}
	tr.found(append(list, tr.check()...), row)
	return row
}

// grants are those since a time, by key.
func (tr *testRun) grants(since int64) map[string]int {
	tr.fleet.read(tr.timeline)
	return tr.timeline.grants(since, now())
}

// lacks names a key that has not been granted often enough.
func (tr *testRun) lacks(when string, grants map[string]int) string {
	for _, key := range tr.keys {
		if grants[key] < enough {
			return fmt.Sprintf("; %d grants of %s %s", grants[key], key, when)
		}
	}
	return ""
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// longest is for how long a key may be held.
func (tr *testRun) longest(key string) time.Duration { return longestHold(tr.system, key, tr.ttl) }

// recover waits until all keys are granted and nobody is stranded, for as long as that
// may take, and says what was not in time.
func (tr *testRun) recover(f fault, x *injection, row *row) (list []violation) {
	bound := f.bound(newBounds(tr.ttl))
	contenders := time.Duration(2 * len(tr.fleet.members)) // who may be ahead in the queue
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		missing := tr.lacks("", tr.grants(x.healed)) != ""
		t, stalled := now(), redistest.Stalled(start)
		delays := recovery(tr.timeline, tr.keys, x.healed, t, bound, tr.longest)
		for _, d := range delays {
			if d.took > d.bound+slack+stalled {
				list = append(list, violated("L", "%s: not granted for %v after the fault, %v is the bound%s", d.key, d.took.Round(time.Millisecond), d.bound, tr.dump(d.key)))
			}
		}
		for _, h := range stranded(tr.timeline, x.healed) {
			missing = true
			since := x.healed
			if h.weight == wait { // for a round, which lasts for as long as tasks follow one another
				since = tr.timeline.free(h.key, max(since, h.asked), t, tr.ttl)
			}
			most := bound + contenders*(tr.longest(h.key)+pause) + slack + stalled
			if time.Duration(t-since) > most {
				list = append(list, violated("L", "stranded for more than %v after the fault: %v%s", most, h, tr.dump(h.key)))
			}
		}
		if len(list) > 0 || !missing {
			row.slowest(delays)
			return list
		}
	}
}

// dump is what the servers and workers have of a key, for somebody who has to find out
// why nobody is let in.
func (tr *testRun) dump(key string) (text string) {
	for _, n := range tr.topology.masters() {
		for _, name := range n.names() {
			// A request for several keys of a pool may wait for another of them.
			if name == key || strings.HasPrefix(name, "baton:{"+key+"}:") || key[0] == 'p' && strings.HasPrefix(strings.TrimPrefix(name, "baton:{"), "p") {
				text += fmt.Sprintf("\n    %s has %s for %v ms", n.Addr(), name, n.do("PTTL", name))
			}
		}
	}
	for _, h := range tr.timeline.of(key) {
		if (h.answered == 0 || h.granted() && h.over() == 0) && tr.timeline.died(h) == 0 {
			text += fmt.Sprintf("\n    waits or holds: %v", h)
		}
	}
	return text
}

// check runs the checks of the workloads on the story so far.
func (tr *testRun) check() (list []violation) {
	list = finality(tr.timeline)
	for _, key := range tr.keys {
		list = append(list, workloadOf(key).check(tr.timeline, key, tr.ttl)...)
	}
	return list
}

// truth compares the whole story with what the servers themselves say, and looks for an
// order of all calls.
func (tr *testRun) truth() (list []violation) {
	for _, key := range tr.keys {
		switch {
		case workloadOf(key).capacity > 0:
			judged, wrong := linearizable(tr.timeline, key, tr.ttl)
			tr.judged += judged
			list = append(list, wrong...)
		case key[0] == 'w' && !tr.timeline.isExcused(key, 0, now()):
			least, most := losses(tr.timeline, key, tr.ttl)
			list = append(list, overstated(tr.timeline, key, most)...)
			count, known := tr.abandonedTasks(key)
			if known && (count < least || count > most) {
				list = append(list, violated("WaitGroup", "%s: Redis has counted %d tasks as abandoned, of at least %d and at most %d", key, count, least, most))
			}
			tr.abandoned += count
		}
	}
	if tr.topology.kind == "aof" {
		l := &ledger{ttl: tr.ttl, skew: time.Now().UnixNano() - now(), ends: lastReleases(tr.timeline), locks: map[string]*lock{}}
		for _, file := range must(filepath.Glob(filepath.Join(tr.topology.nodes[0].do("CONFIG", "GET", "dir").(map[any]any)["dir"].(string), "appendonlydir", "*.incr.aof"))) {
			f := must(os.Open(file))
			check(transactions(f, l.apply))
			f.Close()
		}
		tr.renewals += l.renewals
		tr.turns += l.turns
		list = append(list, l.list...)
	}
	return list
}

// found adds what has not been reported yet to the row and to the report.
func (tr *testRun) found(list []violation, to *row) {
	for _, v := range list {
		if tr.seen[v.text] {
			continue
		}
		tr.seen[v.text] = true
		if to != nil {
			to.violations++
		}
		tr.violations = append(tr.violations, v)
		if tr.system == "baton" || tr.verbose {
			fmt.Fprintf(os.Stderr, "VIOLATION in %s, TTL %v: %v\n", tr.topology.kind, tr.ttl, v)
		}
	}
}
