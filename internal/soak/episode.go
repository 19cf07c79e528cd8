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

// episode waits until all keys are granted, injects the fault, and waits until they
// are granted again and everybody who waited has an answer, or the time for that is
// over. Then it checks.
func (e *epoch) episode(f fault, r *report) (*row, error) {
	row := r.row(f, e.topology.kind)
	row.episodes++
	began := now()
	before := e.grow(began, 30*time.Second)
	x := &scene{epoch: e, random: rand.New(rand.NewPCG(e.random.Uint64(), 0)), from: now()}
	if err := f.inject(x); err != nil {
		return row, err
	}
	x.healed = now()
	if err := e.fleet.read(e.story); err != nil {
		return row, err
	}
	during := e.story.grants(x.from, x.healed)
	found := e.recover(f, x, row)
	if err := e.fleet.read(e.story); err != nil {
		return row, err
	}
	after := e.story.grants(x.healed, now())

	row.before += sum(before)
	row.during += sum(during)
	row.after += sum(after)
	why := e.lacks("before", before) + e.lacks("after", after)
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
	if e.verbose {
		fmt.Fprintf(os.Stderr, "%s, TTL %v: %s, %.2f s: %s; grants %d, %d, %d%s\n", e.topology.kind, e.ttl, f.name,
			float64(x.healed-x.from)/1e9, x.proof, sum(before), sum(during), sum(after), why)
	}
	e.report(append(found, e.check()...), row, r)
	return row, nil
}

// grow reads the story until each key has enough grants since a time, and returns them.
func (e *epoch) grow(since int64, within time.Duration) (grants map[string]int) {
	eventually(within, func() bool {
		if err := e.fleet.read(e.story); err != nil {
			return true
		}
		grants = e.story.grants(since, now())
		return e.lacks("", grants) == ""
	})
	return grants
}

// lacks names a key that has not been granted often enough.
func (e *epoch) lacks(when string, grants map[string]int) string {
	for _, key := range e.keys {
		if grants[key] < enough {
			return fmt.Sprintf("; %d grants of %s %s", grants[key], key, when)
		}
	}
	return ""
}

// recover waits until all keys are granted and nobody is stranded, for as long as that
// may take, and says what was not in time.
func (e *epoch) recover(f fault, x *scene, row *row) (list []violation) {
	bound := f.bound(newBounds(e.ttl))
	contenders := time.Duration(2 * len(e.fleet.members)) // who may be ahead in the queue
	stalled := newStall()
	defer stalled.stop()
	for {
		if err := e.fleet.read(e.story); err != nil {
			return []violation{violated("harness", "%v", err)}
		}
		t := now()
		late, missing := list[:0:0], e.lacks("", e.story.grants(x.healed, t)) != ""
		delays := recovery(e.story, e.keys, x.healed, t, bound, e.longest)
		for _, d := range delays {
			if d.took > d.bound+slack+stalled.total() {
				late = append(late, violated("L", "%s: not granted for %v after the fault, %v is the bound%s", d.key, d.took.Round(time.Millisecond), d.bound, e.dump(d.key)))
			}
		}
		for _, h := range stranded(e.story, x.healed) {
			missing = true
			since := x.healed
			if h.weight == wait { // for a round, which lasts for as long as tasks follow one another
				since = e.story.free(h.key, max(since, h.asked), t, e.ttl)
			}
			most := bound + contenders*(e.longest(h.key)+pause) + slack + stalled.total()
			if time.Duration(t-since) > most {
				late = append(late, violated("L", "stranded for more than %v after the fault: %v%s", most, h, e.dump(h.key)))
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
func (e *epoch) longest(key string) time.Duration { return longestHold(e.system, key, e.ttl) }
