package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A row is one workload. Its rounds are interleaved with those of other rows.
type row struct {
	name, desc string
	systems    string // names of the measured systems, separated by spaces
	job        job
	processes  int
	visits     int           // minimum number of visits of the second process
	delay      time.Duration // latency each way, added by a proxy; 0 means no proxy
	cluster    bool
	goals      []goal

	results map[string]*result // by system
}

const (
	soloSystems  = "floor floor-fenced baton baton-background redislock redsync rueidislock-1 spin"
	ownSystems   = "floor floor-fenced baton redislock redsync rueidislock-1 spin"
	hotSystems   = "baton baton-linger redislock redsync rueidislock-1 spin"
	againSystems = "floor baton baton-linger"
)

// ownKeys returns a row in which each goroutine of one process locks a key of its own.
func ownKeys(name string, goroutines int, systems string, goals ...goal) *row {
	return &row{
		name: name, desc: fmt.Sprintf("1 process of %d goroutines, a key each; times of lock and unlock", goroutines),
		systems: systems, processes: 1, job: job{Task: "contend", OwnKeys: true, Goroutines: goroutines}, goals: goals,
	}
}

// withLatency returns the row own-64 over a network with a delay each way. Lock and unlock take one round trip each.
func withLatency(delay time.Duration) *row {
	r := ownKeys(fmt.Sprintf("own-64-latency-%v", delay), 64, ownSystems+" pipeline", goal{"baton", trips, "", 2.2})
	r.delay = delay
	return r
}

// hot returns a row in which all goroutines of several processes contend for one key.
func hot(processes, goroutines int, goals ...goal) *row {
	name := fmt.Sprintf("%dx%d", processes, goroutines)
	return &row{
		name: "hot-" + name, desc: fmt.Sprintf("%d processes of %d goroutines contend for one key; times of the wait", processes, goroutines),
		systems: hotSystems, processes: processes, job: job{Task: "contend", Goroutines: goroutines, Limit: 1}, goals: goals,
	}
}

// modified changes the name, the description and settings of a row.
func (r *row) modified(name, desc string, changes ...func(*row)) *row {
	r.name, r.desc = name, r.desc+desc
	for _, change := range changes {
		change(r)
	}
	return r
}

func onCluster(r *row) { r.cluster = true }

func held(r *row) { r.job.Hold = time.Millisecond }

// permitRow and readRow change a hot row to permits, or to readers and one writer.
func permitRow(r *row) {
	r.systems, r.job.Limit, r.goals = "baton-permits script-1ms", permits, []goal{{"baton-permits", rate, best, 20}}
}

func readRow(r *row) {
	r.systems, r.job.Reads, r.goals = "baton-rw baton", true, []goal{{"baton-rw", rate, "baton", 20}}
}

// rows has all rows, in the order of measurement.
var rows = []*row{
	{
		name: "solo", desc: "1 goroutine, 1 uncontended key; times of lock and unlock", systems: soloSystems, job: job{Task: "solo"}, goals: []goal{
			{"baton", p50, "floor-fenced", 1.15}, {"baton-background", p50, "floor-fenced", 1.15},
			{"baton", rate, "redislock", 0.95}, {"baton-background", rate, "redislock", 0.95}, {"baton", allocations, "", 28},
		},
	},
	ownKeys("own-4", 4, ownSystems+" pipeline"),
	ownKeys("own-16", 16, ownSystems+" pipeline"),
	ownKeys("own-64", 64, ownSystems+" pipeline", goal{"baton", rate, "rueidislock-1", 1.2}, goal{"baton", rate, "pipeline", 0.95}), // one of the two goals is enough
	withLatency(time.Millisecond), withLatency(5 * time.Millisecond), withLatency(20 * time.Millisecond),
	ownKeys("again-1", 1, againSystems, goal{batonLinger, rate, "floor", 50}, goal{batonLinger, requests, "", 0.01}),
	ownKeys("again-64", 64, againSystems, goal{batonLinger, rate, "floor", 20}, goal{batonLinger, requests, "", 0.01}),
	{
		name: "again-foreign", desc: fmt.Sprintf("one process locks a key repeatedly, another every %v; times of the other's wait; floor has no other process", visitPeriod),
		systems: againSystems + " " + batonLingerFree, job: job{Task: "again"}, processes: 2, visits: 40, goals: []goal{
			{batonLinger, p50, batonLingerFree, 2.5}, {batonLinger, p99, batonLingerFree, 4}, {batonLinger, rate, "floor", 20},
		},
	},
	{
		name: "again-pingpong", desc: "2 clients lock a key in turn", systems: "baton baton-linger", job: job{Task: "again", Clients: 2}, processes: 1,
		goals: []goal{{batonLinger, rate, "baton", 0.9}},
	},
	ownKeys("cluster-own-64", 64, ownSystems, goal{"baton", rate, "floor", 1.3}).modified("cluster-own-64", "; 3 masters", onCluster),
	hot(4, 8).modified("cluster-hot-4x8", "; 3 masters", onCluster),
	hot(4, 8, goal{"baton", rate, best, 80}, goal{"baton", p99, best, 1.0 / 8}, goal{"baton", jains, "", 0.97}),
	hot(4, 256, goal{"baton", rate, best, 50}, goal{"baton", p99, best, 1.0 / 50}, goal{"baton", jains, "", 0.97}),
	hot(16, 1, goal{"baton", rate, best, 1.2}, goal{"baton", rate, bestFair, 1.2}, goal{"baton", p99, bestFair, 1.0 / 8},
		goal{"baton", jains, "", 0.99}, goal{"baton", requests, "", 2.1},
		goal{batonLinger, rate, best, 20}, goal{batonLinger, longest, bestFair, 1}, goal{batonLinger, jains, "", 0.97}),
	hot(4, 8, goal{"baton", jains, "", 0.97}, goal{"baton", p99, "", 1.5 * 32 * 1000}).modified("hot-4x8-1ms", ", and hold it for 1 ms", held), // 1.5 × waiters × hold
	hot(4, 64).modified("readers", " to read, and 1 to write once per second", readRow),
	hot(4, 64).modified("readers-1ms", " to read for 1 ms, and 1 to write once per second", readRow, held),
	hot(4, 64).modified("permits", " of 16 permits", permitRow),
	hot(4, 64).modified("permits-1ms", " of 16 permits, and hold it for 1 ms", permitRow, held),
}

// round measures all systems once. Each round starts with another system.
func (r *row) round(ctx context.Context, b *bench, n int) {
	if r.results == nil {
		r.results = map[string]*result{}
	}
	var list []system
	for name := range strings.FieldsSeq(r.systems) {
		if s, _ := systemNamed(name); b.systems == "" || strings.Contains(","+b.systems+",", ","+name+",") {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return
	}
	n %= len(list)
	list = append(list[n:len(list):len(list)], list[:n]...)
	on := b.serversOf(r)
	if r.job.Task == "solo" {
		r.solo(ctx, b.duration, on, list)
		return
	}
	for _, s := range list {
		err := redistest.Program(func(testing.TB) { r.measure(b, on, s) })
		if err != nil && ctx.Err() == nil { // the other systems are measured nevertheless
			b.notMeasured = append(b.notMeasured, fmt.Sprintf("%s: %s: %v", r.name, s.name, err))
			fmt.Fprintln(os.Stderr, b.notMeasured[len(b.notMeasured)-1])
		}
	}
}

// measure runs the row's job once with a system, on empty servers.
func (r *row) measure(b *bench, on servers, s system) {
	j, processes := r.job, r.processes
	j.System, j.Duration, j.Addr, j.SharedMem = s.name, b.duration, on.addr(), b.memory
	if r.visits > 0 {
		j.Duration = max(j.Duration, time.Duration(r.visits)*visitPeriod)
		switch s.name {
		case "floor": // floor cannot wait
			processes = 1
		case batonLingerFree:
			j.Task, processes = "visit", 1
		}
	}
	trip := time.Duration(0)
	if r.delay > 0 {
		proxy := redistest.NewProxy(b, j.Addr)
		defer proxy.Close()
		proxy.SetDelay(r.delay)
		j.Addr = proxy.Addr()
		trip = roundTrip(j.Addr)
	}
	on.flush()
	_ = os.Remove(j.SharedMem) // of the last measurement
	mem := openSharedMem(j.SharedMem)
	var before count
	t := runWorkers(processes, j, func() { before = on.count(s) })
	x := r.resultFor(s.name)
	x.add(t, on.count(s).since(before), j.Duration)
	if trip > 0 {
		x.record(trips, micros(t.Waits.quantile(0.5))/micros(trip))
	}
	x.clashes += mem.clashes.Load()
	if j.Limit == 1 && !j.Reads && mem.total != t.holds()+t.Late {
		x.clashes++ // the total, which only the lock guards, is wrong
	}
}
