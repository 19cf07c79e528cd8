// Command bench compares baton with its peers: all systems, on one private redis-server, in one
// run. README.md describes the workloads. The command needs redis-server on the PATH and a Unix,
// because it checks mutual exclusion in shared memory. It is a module of its own, so that the
// peers do not become dependencies of baton's users.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A bench is one run of the command.
type bench struct {
	server      servers
	cluster     servers // nil until a row needs it
	dir         string  // of the servers
	systems     string  // selected systems, separated by commas; all if empty
	duration    time.Duration
	notMeasured []string
}

func main() {
	runWorker()
	all := ""
	for _, r := range rows {
		all += fmt.Sprintf("\n%s: %s", r.name, r.desc)
	}
	rounds := flag.Int("rounds", 3, "the number of measurements of each row and system")
	names := flag.String("rows", "", "the rows to measure, separated by commas; empty means all of:"+all)
	b := &bench{}
	flag.DurationVar(&b.duration, "duration", time.Second, "the duration of each measurement, per row, system and round")
	flag.StringVar(&b.systems, "systems", "", "the systems to measure, separated by commas; empty means all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := try(func() { b.run(ctx, *names, *rounds) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, names string, rounds int) {
	list := chosen(names)
	b.dir = must(os.MkdirTemp("", "baton-bench-"))
	defer os.RemoveAll(b.dir)
	s := must(redistest.Launch(b.dir))
	b.server = servers{s}
	defer b.kill()

	began, before := time.Now(), load()
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, load average %s\n", n+1, rounds, load())
		for _, r := range list {
			r.round(ctx, b, n)
			check(ctx.Err())
		}
	}
	fmt.Printf("%d rounds of %v, medians; %s %s/%s, %d CPUs, redis-server %s; load average before %s, after %s; run time %v\n\n",
		rounds, b.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), must(s.Info())["redis_version"], before, load(),
		time.Since(began).Round(time.Second))
	for _, r := range list {
		fmt.Println(r.markdown())
	}
	fmt.Print("Settings:\n\n")
	for _, s := range systems {
		if slices.ContainsFunc(list, func(r *row) bool { return r.results[s.name] != nil }) {
			fmt.Printf("* %s: %s\n", s.name, s.settings)
		}
	}
	for _, miss := range b.notMeasured {
		fmt.Printf("\nNot measured: %s\n", miss)
	}
	fmt.Println("\n" + goalTable(list))
}

func (b *bench) kill() {
	b.server.kill()
	b.cluster.kill()
}

// serversOf returns the server, or the cluster, which it starts when needed.
func (b *bench) serversOf(r *row) servers {
	if !r.cluster {
		return b.server
	}
	if b.cluster == nil {
		b.cluster = must(redistest.LaunchCluster(filepath.Join(b.dir, "cluster"), 3)).Nodes
	}
	return b.cluster
}

// chosen returns the rows with these names.
func chosen(names string) (list []*row) {
	if names == "" {
		return rows
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if i < 0 {
			panic(fmt.Errorf("unknown row %q", name))
		}
		list = append(list, rows[i])
	}
	return list
}

// load returns the machine's load average, or nothing.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text) + " – – –")[:3], " ")
}

// try returns the error of a check or must in f. Other panics are mistakes.
func try(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			panic(p)
		case error:
			err = p
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[V any](v V, err error) V {
	check(err)
	return v
}
