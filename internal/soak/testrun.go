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

// A testRun is a topology, a fleet, and a sequence of fault runs. Leaks are checked at its end.
type testRun struct {
	*config
	*report
	random   *rand.Rand
	ttl      time.Duration
	topology *topology
	fleet    *fleet
	timeline *timeline
	clients  []int           // connections of each master before the workers started
	reported map[string]bool // violations that are already reported
}

// run runs a test run with these faults, until ctx is done.
func (c *config) run(ctx context.Context, h *harness, kind string, list []fault, random *rand.Rand, r *report) {
	tr := &testRun{config: c, report: r, random: random, ttl: c.ttl, timeline: &timeline{byID: map[int64]*interval{}}, reported: map[string]bool{}}
	if tr.ttl == 0 {
		tr.ttl = time.Duration(500+random.IntN(1501)) * time.Millisecond
	}
	tr.topology = newTopology(h, kind)
	for _, n := range tr.topology.masters() {
		count := must(strconv.Atoi(n.info("connected_clients")))
		tr.clients = append(tr.clients, count+1) // one more, for a replica's connection or the admin client
	}
	tr.fleet = newFleet(h, plan{System: c.system, TTL: tr.ttl, Seed: random.Uint64(), Keys: c.keys}, tr.topology, c.workers)
	r.runs++
	var last *row
	for _, f := range list {
		if ctx.Err() != nil || c.finished(r) {
			break
		}
		last = tr.runFault(f)
	}
	leaks := tr.fleet.stop(tr.timeline)
	var addViolations []violation
	if tr.system == "baton" {
		leaks = append(leaks, tr.checkQuiescence()...)
		addViolations = tr.checkAtEnd()
	}
	r.leaks += len(leaks)
	tr.addViolations(slices.Concat(leaks, tr.check(), addViolations), last)
}

// minGrants is the number of grants of each key, before and after a fault, for a fault run to count.
const minGrants = 3

// runFault waits until all keys are granted, and injects the fault. It then waits until they are granted
// again and all earlier requests have a reply, or until the bound has passed. Finally it runs the checks.
func (tr *testRun) runFault(f fault) *row {
	row := tr.row(f, tr.topology.kind)
	row.episodes++
	started := now()
	var before map[string]int
	eventually(30*time.Second, func() bool {
		before = tr.grants(started)
		return tr.tooFewGrants("", before) == ""
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
	why := tr.tooFewGrants("before", before) + tr.tooFewGrants("after", after)
	if x.evidence != "" {
		row.fired++
	} else {
		why += "; the fault was not observed"
	}
	if why == "" {
		row.counted++
	} else {
		row.reasons = append(row.reasons, strings.TrimPrefix(why, "; "))
	}
	if tr.verbose {
		fmt.Fprintf(os.Stderr, "%s, TTL %v: %s, %.2f s: %s; grants %d, %d, %d%s\n", tr.topology.kind, tr.ttl, f.name,
			float64(x.healed-x.from)/1e9, x.evidence, sum(before), during, sum(after), why)
	}
	tr.addViolations(append(list, tr.check()...), row)
	return row
}

// grants returns the number of grants since a time, by key.
func (tr *testRun) grants(since int64) map[string]int {
	tr.fleet.read(tr.timeline)
	return tr.timeline.grants(since, now())
}

// tooFewGrants describes a key with too few grants, or returns "".
func (tr *testRun) tooFewGrants(when string, grants map[string]int) string {
	for _, key := range tr.keys {
		if grants[key] < minGrants {
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

// longest returns the maximum time of a hold on the key.
func (tr *testRun) longest(key string) time.Duration { return longestHold(tr.system, key, tr.ttl) }

// recover waits until all keys are granted and no request is stranded, within the bound. It returns the
// violations of the bound.
func (tr *testRun) recover(f fault, x *injection, row *row) (list []violation) {
	bound := f.bound(newBounds(tr.ttl))
	contenders := time.Duration(2 * len(tr.fleet.members)) // clients that may be ahead in the queue
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		missing := tr.tooFewGrants("", tr.grants(x.healed)) != ""
		t, stalled := now(), redistest.Stalled(start)
		delays := recovery(tr.timeline, tr.keys, x.healed, t, bound, tr.longest)
		for _, d := range delays {
			if d.took > d.bound+slack+stalled {
				list = append(list, violated("L", "%s: not granted for %v after the fault, the bound is %v%s", d.key, d.took.Round(time.Millisecond), d.bound, tr.dump(d.key)))
			}
		}
		for _, h := range stranded(tr.timeline, x.healed) {
			missing = true
			since := x.healed
			if h.weight == wait { // a generation lasts while tasks follow one another
				since = tr.timeline.firstFree(h.key, max(since, h.requested), t, tr.ttl)
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

// dump describes the state of a key in the servers and workers, to analyze a missing grant.
func (tr *testRun) dump(key string) (text string) {
	for _, n := range tr.topology.masters() {
		for _, name := range n.names() {
			// A request for several keys of a pool may wait for another of them.
			if name == key || strings.HasPrefix(name, "baton:{"+key+"}:") || key[0] == 'p' && strings.HasPrefix(strings.TrimPrefix(name, "baton:{"), "p") {
				text += fmt.Sprintf("\n    %s has %s for %v ms", n.Addr(), name, n.do("PTTL", name))
			}
		}
	}
	for _, h := range tr.timeline.intervals(key) {
		if (h.replied == 0 || h.granted() && h.knownEnd() == 0) && tr.timeline.died(h) == 0 {
			text += fmt.Sprintf("\n    open: %v", h)
		}
	}
	return text
}

// check runs the checks of the workloads on the timeline so far.
func (tr *testRun) check() (list []violation) {
	list = finality(tr.timeline)
	for _, key := range tr.keys {
		list = append(list, workloadOf(key).check(tr.timeline, key, tr.ttl)...)
	}
	return list
}

// checkAtEnd compares the whole timeline with the servers' data, and checks that it is linearizable.
func (tr *testRun) checkAtEnd() (list []violation) {
	for _, key := range tr.keys {
		switch {
		case workloadOf(key).capacity > 0:
			refusedTries, wrong := linearizable(tr.timeline, key, tr.ttl)
			tr.refusedTries += refusedTries
			list = append(list, wrong...)
		case key[0] == 'w' && !tr.timeline.isExcused(key, 0, now()):
			least, most := abandonedBounds(tr.timeline, key, tr.ttl)
			list = append(list, excessAbandoned(tr.timeline, key, most)...)
			count, known := tr.abandonedTasks(key)
			if known && (count < least || count > most) {
				list = append(list, violated("WaitGroup", "%s: Redis has counted %d tasks as abandoned, want %d to %d", key, count, least, most))
			}
			tr.abandoned += count
		}
	}
	if tr.topology.kind == "aof" {
		l := &aofChecker{ttl: tr.ttl, skew: time.Now().UnixNano() - now(), ends: lastReleases(tr.timeline), locks: map[string]*lock{}}
		for _, file := range must(filepath.Glob(filepath.Join(tr.topology.nodes[0].do("CONFIG", "GET", "dir").(map[any]any)["dir"].(string), "appendonlydir", "*.incr.aof"))) {
			f := must(os.Open(file))
			check(transactions(f, l.apply))
			f.Close()
		}
		tr.renewals += l.renewals
		tr.aofGrants += l.grants
		list = append(list, l.list...)
	}
	return list
}

// addViolations adds new violations to the row and to the report.
func (tr *testRun) addViolations(list []violation, to *row) {
	for _, v := range list {
		if tr.reported[v.text] {
			continue
		}
		tr.reported[v.text] = true
		if to != nil {
			to.violations++
		}
		tr.violations = append(tr.violations, v)
		if tr.system == "baton" || tr.verbose {
			fmt.Fprintf(os.Stderr, "VIOLATION in %s, TTL %v: %v\n", tr.topology.kind, tr.ttl, v)
		}
	}
}
