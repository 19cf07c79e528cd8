package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// A testRun is a topology and a fleet, and a number of episodes with a fault in each.
// What it leaves is checked at its end.
type testRun struct {
	*config
	random   *rand.Rand
	ttl      time.Duration
	dir      string
	topology *topology
	fleet    *fleet
	timeline *timeline
	register *Register
	clients  []int // connections of each master, before there were any workers
	skew     int64
	seen     map[string]bool // violations that were counted
}

// run runs an epoch of the given faults, or those that come before ctx ends.
func (c *config) run(ctx context.Context, kind string, list []fault, random *rand.Rand, r *report) (err error) {
	tr := &testRun{config: c, random: random, ttl: c.ttl, timeline: newTimeline(), seen: map[string]bool{},
		register: &Register{cells: map[string]*cell{}}, skew: time.Now().UnixNano() - now()}
	if tr.ttl == 0 {
		tr.ttl = time.Duration(500+random.IntN(1501)) * time.Millisecond
	}
	if tr.dir, err = os.MkdirTemp("", "baton-soak-"); err != nil {
		return err
	}
	defer os.RemoveAll(tr.dir)
	if tr.topology, err = newTopology(kind, tr.dir); err != nil {
		return err
	}
	defer tr.topology.close()
	if err := tr.connections(); err != nil {
		return err
	}
	socket := filepath.Join(tr.dir, "register")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { tr.register.serve(l, &running) })
	defer running.Wait()
	defer l.Close()
	base := plan{System: c.system, Register: socket, TTL: tr.ttl, Seed: random.Uint64(), Keys: c.keys}
	if tr.fleet, err = newFleet(base, tr.dir, tr.topology, c.workers); err != nil {
		return err
	}
	defer tr.fleet.close()
	for _, m := range tr.fleet.members {
		if err := tr.fleet.start(m); err != nil {
			return err
		}
	}
	r.runs++
	var last *row
	for _, f := range list {
		if ctx.Err() != nil || c.enough(r) {
			break
		}
		if last, err = tr.runFault(f, r); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return tr.end(last, r)
}

// end lets the workers go, and checks what they have left.
func (tr *testRun) end(last *row, r *report) error {
	leaks, err := tr.fleet.stop(tr.timeline)
	if err != nil {
		return err
	}
	if tr.system == "baton" {
		leaks = append(leaks, tr.rest()...)
	}
	r.leaks += len(leaks)
	found := append(leaks, tr.check()...)
	found = append(found, tr.register.wrong()...)
	truth, err := tr.truth(r)
	if err != nil {
		return err
	}
	tr.report(append(found, truth...), last, r)
	late, updates := tr.register.late()
	r.lateWrites += late
	r.lostUpdates += updates
	return nil
}

// truth compares with what the servers themselves say.
func (tr *testRun) truth(r *report) (list []violation, err error) {
	if tr.system != "baton" {
		return nil, nil
	}
	for _, key := range tr.keys {
		if key[0] != 'w' || tr.timeline.isExcused(key, 0, now()) {
			continue
		}
		least, most := losses(tr.timeline, key, tr.ttl)
		list = append(list, overstated(tr.timeline, key, most)...)
		count, known, err := tr.abandonedTasks(key)
		if err != nil {
			return nil, err
		}
		if known && (count < least || count > most) {
			list = append(list, violated("WaitGroup", "%s: Redis has counted %d tasks as abandoned, of at least %d and at most %d", key, count, least, most))
		}
		r.abandoned += count
	}
	for _, key := range tr.keys {
		if holdable(key) {
			judged, wrong := linearizable(tr.timeline, key, tr.ttl)
			r.judged += judged
			list = append(list, wrong...)
		}
	}
	if tr.topology.kind != "aof" {
		return list, nil
	}
	l := newLedger(tr.timeline, tr.skew)
	if err := appendOnly(tr.topology.nodes[0].dir, l.apply); err != nil {
		return nil, err
	}
	r.renewals += l.renewals
	r.turns += l.turns
	return append(list, l.list...), nil
}

// check runs the checkers on the story so far.
func (tr *testRun) check() (list []violation) {
	list = finality(tr.timeline)
	for _, key := range tr.keys {
		switch {
		case holdable(key):
			list = append(list, exclusion(tr.timeline, key)...)
			list = append(list, fences(tr.timeline, key)...)
			list = append(list, refusals(tr.timeline, key, tr.ttl)...)
			list = append(list, onceAnInterval(tr.timeline, key)...)
		case key[0] == 'w':
			list = append(list, rounds(tr.timeline, key)...)
		case key[0] == 'l':
			list = append(list, pace(tr.timeline, key)...)
		}
	}
	return list
}

// report adds what has not been reported yet to the row and to the report.
func (tr *testRun) report(list []violation, to *row, r *report) {
	for _, v := range list {
		if tr.seen[v.text] {
			continue
		}
		tr.seen[v.text] = true
		if to != nil {
			to.violations++
		}
		r.violations = append(r.violations, v)
		if tr.system != "baton" && !tr.verbose {
			continue
		}
		fmt.Fprintf(os.Stderr, "VIOLATION in %s, TTL %v: %v\n", tr.topology.kind, tr.ttl, v)
	}
}

func (tr *testRun) connections() error {
	tr.clients = nil
	for _, n := range tr.topology.masters() {
		text, err := n.info("connected_clients")
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		// A replica's connection may come or go, and our own for questions.
		tr.clients = append(tr.clients, count+1)
	}
	return nil
}
