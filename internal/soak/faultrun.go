package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// enough grants of each key, before and after a fault, make an episode count.
const enough = 3

// runFault waits until all keys are granted, injects the fault, and waits until they
// are granted again and everybody who waited has an answer, or the time for that is
// over. Then it checks.
func (tr *testRun) runFault(f fault, r *report) (*row, error) {
	row := r.row(f, tr.topology.kind)
	row.faultRuns++
	began := now()
	before := tr.grow(began, 30*time.Second)
	x := &injection{testRun: tr, random: rand.New(rand.NewPCG(tr.random.Uint64(), 0)), from: now()}
	if err := f.inject(x); err != nil {
		return row, err
	}
	x.healed = now()
	if err := tr.fleet.read(tr.timeline); err != nil {
		return row, err
	}
	during := tr.timeline.grants(x.from, x.healed)
	found := tr.recover(f, x, row)
	if err := tr.fleet.read(tr.timeline); err != nil {
		return row, err
	}
	after := tr.timeline.grants(x.healed, now())

	row.before += sum(before)
	row.during += sum(during)
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
			float64(x.healed-x.from)/1e9, x.proof, sum(before), sum(during), sum(after), why)
	}
	tr.report(append(found, tr.check()...), row, r)
	return row, nil
}

// grow reads the story until each key has enough grants since a time, and returns them.
func (tr *testRun) grow(since int64, within time.Duration) (grants map[string]int) {
	eventually(within, func() bool {
		if err := tr.fleet.read(tr.timeline); err != nil {
			return true
		}
		grants = tr.timeline.grants(since, now())
		return tr.lacks("", grants) == ""
	})
	return grants
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

// recover waits until all keys are granted and nobody is stranded, for as long as that
// may take, and says what was not in time.
func (tr *testRun) recover(f fault, x *injection, row *row) (list []violation) {
	bound := f.bound(newBounds(tr.ttl))
	contenders := time.Duration(2 * len(tr.fleet.members)) // who may be ahead in the queue
	stalled := newStall()
	defer stalled.stop()
	for {
		if err := tr.fleet.read(tr.timeline); err != nil {
			return []violation{violated("harness", "%v", err)}
		}
		t := now()
		late, missing := list[:0:0], tr.lacks("", tr.timeline.grants(x.healed, t)) != ""
		delays := recovery(tr.timeline, tr.keys, x.healed, t, bound, tr.longest)
		for _, d := range delays {
			if d.took > d.bound+slack+stalled.total() {
				late = append(late, violated("L", "%s: not granted for %v after the fault, %v is the bound%s", d.key, d.took.Round(time.Millisecond), d.bound, tr.dump(d.key)))
			}
		}
		for _, h := range stranded(tr.timeline, x.healed) {
			missing = true
			since := x.healed
			if h.weight == wait { // for a round, which lasts for as long as tasks follow one another
				since = tr.timeline.free(h.key, max(since, h.asked), t, tr.ttl)
			}
			most := bound + contenders*(tr.longest(h.key)+pause) + slack + stalled.total()
			if time.Duration(t-since) > most {
				late = append(late, violated("L", "stranded for more than %v after the fault: %v%s", most, h, tr.dump(h.key)))
			}
		}
		if len(late) > 0 || !missing {
			row.slowest(delays)
			return late
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// longest is for how long a key may be held.
func (tr *testRun) longest(key string) time.Duration { return longestHold(tr.system, key, tr.ttl) }
