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

// An epoch is a topology and a fleet, and a number of episodes with a fault in each.
// What it leaves is checked at its end.
type epoch struct {
	*config
	random   *rand.Rand
	ttl      time.Duration
	dir      string
	topology *topology
	fleet    *fleet
	story    *story
	register *Register
	clients  []int // connections of each master, before there were any workers
	skew     int64
	seen     map[string]bool // violations that were counted
}

// run runs an epoch of the given faults, or those that come before ctx ends.
func (c *config) run(ctx context.Context, kind string, list []fault, random *rand.Rand, r *report) (err error) {
	e := &epoch{config: c, random: random, ttl: c.ttl, story: newStory(), seen: map[string]bool{},
		register: &Register{cells: map[string]*cell{}}, skew: time.Now().UnixNano() - now()}
	if e.ttl == 0 {
		e.ttl = time.Duration(500+random.IntN(1501)) * time.Millisecond
	}
	if e.dir, err = os.MkdirTemp("", "baton-soak-"); err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	if e.topology, err = newTopology(kind, e.dir); err != nil {
		return err
	}
	defer e.topology.close()
	if err := e.connections(); err != nil {
		return err
	}
	socket := filepath.Join(e.dir, "register")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { e.register.serve(l, &running) })
	defer running.Wait()
	defer l.Close()
	base := plan{System: c.system, Register: socket, TTL: e.ttl, Seed: random.Uint64(), Keys: c.keys}
	if e.fleet, err = newFleet(base, e.dir, e.topology, c.workers); err != nil {
		return err
	}
	defer e.fleet.close()
	for _, m := range e.fleet.members {
		if err := e.fleet.start(m); err != nil {
			return err
		}
	}
	r.epochs++
	var last *row
	for _, f := range list {
		if ctx.Err() != nil || c.enough(r) {
			break
		}
		if last, err = e.episode(f, r); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return e.end(last, r)
}

// end lets the workers go, and checks what they have left.
func (e *epoch) end(last *row, r *report) error {
	leaks, err := e.fleet.stop(e.story)
	if err != nil {
		return err
	}
	if e.system == "baton" {
		leaks = append(leaks, e.rest()...)
	}
	r.leaks += len(leaks)
	found := append(leaks, e.check()...)
	found = append(found, e.register.wrong()...)
	truth, err := e.truth(r)
	if err != nil {
		return err
	}
	e.report(append(found, truth...), last, r)
	late, updates := e.register.late()
	r.lateWrites += late
	r.lostUpdates += updates
	return nil
}

// truth compares with what the servers themselves say.
func (e *epoch) truth(r *report) (list []violation, err error) {
	if e.system != "baton" {
		return nil, nil
	}
	for _, key := range e.keys {
		if key[0] != 'w' || e.story.voided(key, 0, now()) {
			continue
		}
		least, most := losses(e.story, key, e.ttl)
		list = append(list, overstated(e.story, key, most)...)
		count, known, err := e.abandonedTasks(key)
		if err != nil {
			return nil, err
		}
		if known && (count < least || count > most) {
			list = append(list, violated("WaitGroup", "%s: Redis has counted %d tasks as abandoned, of at least %d and at most %d", key, count, least, most))
		}
		r.abandoned += count
	}
	for _, key := range e.keys {
		if holdable(key) {
			judged, wrong := linearizable(e.story, key, e.ttl)
			r.judged += judged
			list = append(list, wrong...)
		}
	}
	if e.topology.kind != "aof" {
		return list, nil
	}
	l := newLedger(e.story, e.skew)
	if err := appendOnly(e.topology.nodes[0].dir, l.apply); err != nil {
		return nil, err
	}
	r.renewals += l.renewals
	r.turns += l.turns
	return append(list, l.list...), nil
}

// check runs the checkers on the story so far.
func (e *epoch) check() (list []violation) {
	list = finality(e.story)
	for _, key := range e.keys {
		switch {
		case holdable(key):
			list = append(list, exclusion(e.story, key)...)
			list = append(list, fences(e.story, key)...)
			list = append(list, refusals(e.story, key, e.ttl)...)
		case key[0] == 'w':
			list = append(list, rounds(e.story, key)...)
		case key[0] == 'l':
			list = append(list, pace(e.story, key)...)
		}
	}
	return list
}

// report adds what has not been reported yet to the row and to the report.
func (e *epoch) report(list []violation, to *row, r *report) {
	for _, v := range list {
		if e.seen[v.text] {
			continue
		}
		e.seen[v.text] = true
		if to != nil {
			to.violations++
		}
		r.violations = append(r.violations, v)
		if e.system != "baton" && !e.verbose {
			continue
		}
		fmt.Fprintf(os.Stderr, "VIOLATION in %s, TTL %v: %v\n", e.topology.kind, e.ttl, v)
	}
}

func (e *epoch) connections() error {
	e.clients = nil
	for _, n := range e.topology.masters() {
		text, err := n.info("connected_clients")
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		// A replica's connection may come or go, and our own for questions.
		e.clients = append(e.clients, count+1)
	}
	return nil
}
