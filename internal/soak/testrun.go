package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
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
	fleet    fleet
	timeline *timeline
	clients  []int // connections of each master before the workers started
}

// run runs a test run with these faults, until ctx is done.
func (c *config) run(ctx context.Context, tb testing.TB, kind string, list []fault, random *rand.Rand, r *report) {
	tr := &testRun{config: c, report: r, random: random, ttl: c.ttl, timeline: &timeline{byID: map[int64]*interval{}}}
	if tr.ttl == 0 {
		tr.ttl = time.Duration(500+random.IntN(1501)) * time.Millisecond
	}
	tr.topology = newTopology(tb, kind)
	for _, n := range tr.topology.masters() {
		count := must(strconv.Atoi(n.info("connected_clients")))
		tr.clients = append(tr.clients, count+1) // one more, for a replica's connection or the admin client
	}
	tr.fleet = newFleet(tb, plan{System: c.system, TTL: tr.ttl, Seed: random.Uint64(), Keys: c.keys}, tr.topology)
	r.runs++
	var last *row
	for _, f := range list {
		if ctx.Err() != nil || c.finished(r) {
			break
		}
		last = tr.runFault(f)
	}
	leaks, found := tr.fleet.stop(tr.timeline), tr.check()
	if tr.system == "baton" {
		leaks = append(leaks, tr.checkQuiescence()...)
		found = append(found, tr.checkAtEnd()...)
	}
	r.leaks += len(leaks)
	tr.addViolations(append(leaks, found...), last)
}

// minGrants is the number of grants of each key, before and after a fault, for a fault run to count.
const minGrants = 3

// runFault waits until all keys are granted, and injects the fault. It then waits until they are granted
// again and all earlier requests have a reply, or until the bound has passed. Finally it runs the checks.
func (tr *testRun) runFault(f fault) *row {
	row := tr.row(f)
	started := now()
	var before map[string]int
	eventually(30*time.Second, func() bool {
		before = tr.grants(started)
		return tr.tooFewGrants("", before) == ""
	})
	x := &injection{testRun: tr, fault: f, random: rand.New(rand.NewPCG(tr.random.Uint64(), 0)), from: now()}
	x.run()
	x.healed = now()
	during := tr.grants(x.from)
	list := tr.recover(x, row)
	after := tr.grants(x.healed)

	row.n[runs]++
	for i, grants := range []map[string]int{before, during, after} {
		for _, n := range grants {
			row.n[grantsBefore+i] += n
		}
	}
	why := tr.tooFewGrants("before", before) + tr.tooFewGrants("after", after)
	if x.evidence != "" {
		row.n[fired]++
	} else {
		why += "; the fault was not observed"
	}
	if why == "" {
		row.n[counted]++
	} else {
		row.reasons = append(row.reasons, strings.TrimPrefix(why, "; "))
	}
	if tr.verbose {
		fmt.Fprintf(os.Stderr, "%s, TTL %v: %s, %.2f s: %s%s\n", tr.topology.kind, tr.ttl, f.name, float64(x.healed-x.from)/1e9, x.evidence, why)
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

// longest returns the maximum time of a hold on the key.
func (tr *testRun) longest(key string) time.Duration { return longestHold(tr.system, key, tr.ttl) }

// slack is added to each bound for a busy machine with few processors. Stalls of the soak itself are
// added too.
const slack = 2500 * time.Millisecond

// recover waits until all keys are granted and no request is stranded, within the bound. It returns the
// violations of the bound.
func (tr *testRun) recover(x *injection, row *row) (list []violation) {
	bound := x.fault.bound(tr.ttl)
	contenders := time.Duration(2 * len(tr.fleet)) // clients that may be ahead in the queue
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
			if h.Weight == wait { // a generation lasts while tasks follow one another
				since = tr.timeline.firstFree(h.key(), max(since, h.Requested), t, tr.ttl)
			}
			most := bound + contenders*(tr.longest(h.key())+pause) + slack + stalled
			if time.Duration(t-since) > most {
				list = append(list, violated("L", "stranded for more than %v after the fault: %v%s", most, h, tr.dump(h.key())))
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
		if (h.Replied == 0 || h.granted() && h.knownEnd() == 0) && tr.timeline.died(h) == 0 {
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
			list = append(list, linearizable(tr.timeline, key, tr.ttl)...)
		case key[0] == 'w' && !tr.timeline.isExcused(key, 0, now()):
			count, known := tr.abandonedTasks(key)
			tr.abandoned += count
			list = append(list, abandonedRules(tr.timeline, key, tr.ttl, count, known)...)
		}
	}
	if tr.topology.kind == "aof" {
		f := &fifoChecker{queues: map[string]map[string]int64{}}
		dir := tr.topology.nodes[0].do("CONFIG", "GET", "dir").(map[any]any)["dir"].(string)
		for _, file := range must(filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))) {
			f.replay(string(must(os.ReadFile(file))))
		}
		tr.aofGrants += f.grants
		list = append(list, f.list...)
	}
	return list
}

// addViolations adds new violations to the row and to the report.
func (tr *testRun) addViolations(list []violation, to *row) {
	for _, v := range list {
		if slices.Contains(tr.violations, v) {
			continue
		}
		if to != nil {
			to.n[violations]++
		}
		tr.violations = append(tr.violations, v)
		if tr.system == "baton" || tr.verbose {
			fmt.Fprintf(os.Stderr, "VIOLATION in %s, TTL %v: %v\n", tr.topology.kind, tr.ttl, v)
		}
	}
}

// leftover matches keys that exist only while a process holds a lock, or waits.
var leftover = regexp.MustCompile(`^([mpeof].|baton:\{.*\}:(queue|waiters).*)$`)

// checkQuiescence checks that the workers leave no locks, queue entries, subscriptions and connections,
// after at most a TTL or the lifetime of an entry. All other keys must expire.
func (tr *testRun) checkQuiescence() []violation {
	var leftovers []string
	within := 3*tr.ttl + 3600*time.Millisecond + slack
	if eventually(within, func() bool { leftovers = tr.leftovers(); return len(leftovers) == 0 }) {
		return nil
	}
	return []violation{violated("leak", "%v after the end of all workers: %s", within, strings.Join(leftovers, "; "))}
}

// leftovers returns descriptions of everything that should be gone.
func (tr *testRun) leftovers() (list []string) {
	for i, n := range tr.topology.masters() {
		for _, name := range n.names() {
			if ttl := n.do("PTTL", name).(int64); ttl == -1 || leftover.MatchString(name) {
				list = append(list, fmt.Sprintf("%q exists for %d ms", name, ttl))
			}
		}
		if channels := n.do("PUBSUB", "CHANNELS", "baton:*").([]any); len(channels) > 0 {
			list = append(list, fmt.Sprintf("subscriptions to %v", channels))
		}
		if c, _ := strconv.Atoi(n.info("connected_clients")); c > tr.clients[i] {
			list = append(list, fmt.Sprintf("%d connections, %d at the start", c, tr.clients[i]))
		}
	}
	return list
}

// abandonedTasks returns the number of tasks that Redis has counted as abandoned in all generations. known
// is false if Redis does not have all generations.
func (tr *testRun) abandonedTasks(key string) (count int, known bool) {
	for _, n := range tr.topology.masters() {
		members, err := n.admin.ZRange(context.Background(), key, 0, -1).Result()
		if strings.HasPrefix(fmt.Sprint(err), "MOVED") {
			continue
		}
		check(err)
		records := 0
		for _, m := range members {
			var generation, tasks, abandoned, since int64
			if c, _ := fmt.Sscanf(m, "abandoned %d %d", &generation, &abandoned); c == 2 {
				count += int(abandoned)
				records++
			} else if c, _ := fmt.Sscanf(m, "generation %d count %d abandoned %d since %d", &generation, &tasks, &abandoned, &since); c == 4 {
				known = true
				if tasks > 0 {
					count += int(abandoned)
				}
			}
		}
		known = known && records < 100
	}
	return count, known
}
