package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A row is one workload. Its rounds are interleaved with those of other rows.
type row struct {
	name, what string
	systems    string // that it measures, with spaces
	job        job
	processes  int
	delay      time.Duration // of a frame, each way: the servers are behind a proxy
	cluster    bool
	goals      []goal

	results results
}

const (
	alone = "floor floor-fenced baton baton-background redislock redsync rueidislock-1 spin"
	each  = "floor floor-fenced baton redislock redsync rueidislock-1 spin"
	waits = "baton baton-linger redislock redsync rueidislock-1 spin"
	again = "floor baton baton-linger"
)

// own is a row in which goroutines of one process lock a key each, which nobody else wants.
func own(name string, goroutines int, systems string, goals ...goal) *row {
	return &row{
		name: name, what: fmt.Sprintf("1 process of %d goroutines, a key each; times are of lock and unlock", goroutines),
		systems: systems, processes: 1, job: job{Task: "contend", OwnKeys: true, Goroutines: goroutines}, goals: goals,
	}
}

// distant is own over a network: a frame takes delay each way. Lock and unlock take a round trip each.
func distant(delay time.Duration) *row {
	r := own(fmt.Sprintf("own-64-latency-%v", delay), 64, each+" pipeline", goal{"baton", trips, "", 2.2, false})
	r.delay = delay
	return r
}

// hot is a row in which all goroutines of some processes want the same key all the time.
func hot(processes, goroutines int, goals ...goal) *row {
	name := fmt.Sprintf("%dx%d", processes, goroutines)
	return &row{
		name: "hot-" + name, what: fmt.Sprintf("%d processes of %d goroutines want one key; times are of the wait", processes, goroutines),
		systems: waits, processes: processes, job: job{Task: "contend", Goroutines: goroutines, Limit: 1}, goals: goals,
	}
}

// with changes a row.
func (r *row) with(name, what string, changes ...func(*row)) *row {
	r.name, r.what = name, r.what+what
	for _, change := range changes {
		change(r)
	}
	return r
}

func onCluster(r *row) { r.cluster = true }

func held(r *row) { r.job.Hold = time.Millisecond }

// permitRow and readRow are like hot, but for permits, and for readers and one writer.
func permitRow(r *row) {
	r.systems, r.job.Limit, r.goals = "baton-permits script-1ms", permits, []goal{{"baton-permits", rate, best, 20, true}}
}

func readRow(r *row) {
	r.systems, r.job.Reads, r.goals = "baton-rw baton", true, []goal{{"baton-rw", rate, "baton", 20, true}}
}

// rows are all that there are, in the order in which they are measured.
var rows = []*row{
	{
		name: "solo", what: "1 goroutine, 1 key that nobody else wants; times are of lock and unlock", systems: alone, job: job{Task: "solo"}, goals: []goal{
			{"baton", p50, "floor-fenced", 1.15, false}, {"baton-background", p50, "floor-fenced", 1.15, false},
			{"baton", rate, "redislock", 0.95, true}, {"baton-background", rate, "redislock", 0.95, true}, {"baton", allocations, "", 28, false},
		},
	},
	own("own-4", 4, each+" pipeline"),
	own("own-16", 16, each+" pipeline"),
	own("own-64", 64, each+" pipeline", goal{"baton", rate, "rueidislock-1", 1.2, true}, goal{"baton", rate, "pipeline", 0.95, true}), // one of the two is enough
	distant(time.Millisecond), distant(5 * time.Millisecond), distant(20 * time.Millisecond),
	own("again-1", 1, again, goal{lingers, rate, "floor", 50, true}, goal{lingers, requests, "", 0.01, false}),
	own("again-64", 64, again, goal{lingers, rate, "floor", 20, true}, goal{lingers, requests, "", 0.01, false}),
	{
		name: "again-foreign", what: fmt.Sprintf("a process locks a key again and again, another locks it every %v: times are of its wait; floor has no other", visitPeriod),
		systems: again + " " + visitFree, job: job{Task: "foreign"}, processes: 2, goals: []goal{
			{lingers, p50, visitFree, 2.5, false}, {lingers, p99, visitFree, 4, false}, {lingers, rate, "floor", 20, true},
		},
	},
	{
		name: "again-pingpong", what: "2 clients lock a key in turn", systems: "baton baton-linger", job: job{Task: "pingpong", Clients: 2}, processes: 1,
		goals: []goal{{lingers, rate, "baton", 0.9, true}},
	},
	own("cluster-own-64", 64, each, goal{"baton", rate, "floor", 1.3, true}).with("cluster-own-64", "; 3 masters", onCluster),
	hot(4, 8).with("cluster-hot-4x8", "; 3 masters", onCluster),
	hot(4, 8, goal{"baton", rate, best, 80, true}, goal{"baton", p99, best, 1.0 / 8, false}, goal{"baton", jains, "", 0.97, true}),
	hot(4, 256, goal{"baton", rate, best, 50, true}, goal{"baton", p99, best, 1.0 / 50, false}, goal{"baton", jains, "", 0.97, true}),
	hot(16, 1, goal{"baton", rate, best, 1.2, true}, goal{"baton", rate, bestFair, 1.2, true}, goal{"baton", p99, bestFair, 1.0 / 8, false},
		goal{"baton", jains, "", 0.99, true}, goal{"baton", requests, "", 2.1, false},
		goal{lingers, rate, best, 20, true}, goal{lingers, longest, bestFair, 1, false}, goal{lingers, jains, "", 0.97, true}),
	hot(4, 8, goal{"baton", jains, "", 0.97, true}, goal{"baton", p99, "", 1.5 * 32 * 1000, false}).with("hot-4x8-1ms", ", and hold it for 1 ms", held), // 1.5 × waiters × hold
	hot(4, 64).with("readers", " to read, and 1 to write, once a second", readRow),
	hot(4, 64).with("readers-1ms", " to read for 1 ms, and 1 to write, once a second", readRow, held),
	hot(4, 64).with("permits", " of 16 permits", permitRow),
	hot(4, 64).with("permits-1ms", " of 16 permits, and hold it for 1 ms", permitRow, held),
}

// round measures all systems once, each round from another one on.
func (r *row) round(ctx context.Context, b *bench, n int) error {
	if r.results == nil {
		r.results = results{}
	}
	var list []system
	for name := range strings.FieldsSeq(r.systems) {
		if s, _ := systemNamed(name); b.systems == "" || strings.Contains(","+b.systems+",", ","+name+",") {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	n %= len(list)
	list = append(list[n:len(list):len(list)], list[:n]...)
	servers, err := b.serversOf(r)
	if err != nil {
		return err
	}
	if r.job.Task == "solo" {
		return r.solo(ctx, b.duration, servers, list)
	}
	for _, s := range list {
		err := r.measure(ctx, b, servers, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others are measured all the same
			b.misses = append(b.misses, fmt.Sprintf("%s: %s: %v", r.name, s.name, err))
			fmt.Fprintln(os.Stderr, b.misses[len(b.misses)-1])
		}
	}
	return nil
}

// serversOf returns the server, or the cluster, which it starts for the first row that needs it.
func (b *bench) serversOf(r *row) (*server, error) {
	if !r.cluster {
		return b.server, nil
	}
	if b.cluster == nil {
		c, err := redistest.LaunchCluster(filepath.Join(b.dir, "cluster"), 3)
		if err != nil {
			return nil, err
		}
		b.cluster = newServer(c.Nodes...)
	}
	return b.cluster, nil
}

// measure has the processes of a system do the row's job once.
func (r *row) measure(ctx context.Context, b *bench, servers *server, s system) error {
	j, processes := r.job, r.processes
	j.System, j.Duration, j.Addr = s.name, b.duration, servers.addr()
	if j.Task == "foreign" {
		j.Duration = max(j.Duration, 40*visitPeriod)
		switch s.name {
		case "floor": // which cannot wait
			processes = 1
		case visitFree:
			j.Task, processes = "visit", 1
		}
	}
	trip := time.Duration(0)
	if r.delay > 0 {
		proxy, err := redistest.LaunchProxy(j.Addr)
		if err != nil {
			return err
		}
		defer proxy.Close()
		proxy.SetDelay(r.delay)
		j.Addr = proxy.Addr()
		if trip, err = roundTrip(ctx, j.Addr); err != nil {
			return err
		}
	}
	t, err := servers.try(ctx, processes, j)
	if err != nil {
		return err
	}
	x := r.results.of(s.name)
	x.add(t, j.Duration, s)
	if trip > 0 {
		x.note(trips, micros(t.Waits.quantile(0.5))/micros(trip))
	}
	if j.Limit == 1 && !j.Reads && t.total != t.holds()+t.Late {
		x.clashes++ // a sum which only the lock guards came out wrong
	}
	return nil
}
