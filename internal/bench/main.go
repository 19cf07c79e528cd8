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
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A bench is one run of the command.
type bench struct {
	testing.TB
	server      servers
	cluster     servers // empty until a row needs it
	memory      string  // the file of the shared memory
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
	err := redistest.Program(func(tb testing.TB) {
		b.start(tb)
		b.run(ctx, *names, *rounds)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) start(tb testing.TB) {
	b.TB, b.memory = tb, filepath.Join(tb.TempDir(), "memory")
	b.server = servers{tb, []*redistest.Server{redistest.Start(tb)}}
}

func (b *bench) run(ctx context.Context, names string, rounds int) {
	list := chosen(names)
	began, before := time.Now(), load()
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, load average %s\n", n+1, rounds, load())
		for _, r := range list {
			r.round(ctx, b, n)
			check(ctx.Err())
		}
	}
	fmt.Printf("%d rounds of %v, medians; %s %s/%s, %d CPUs, redis-server %s; load average before %s, after %s; run time %v\n\n",
		rounds, b.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.server.nodes[0].Info(b)["redis_version"], before, load(),
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

// serversOf returns the server, or the cluster, which it starts when needed.
func (b *bench) serversOf(r *row) servers {
	if !r.cluster {
		return b.server
	}
	if b.cluster.nodes == nil {
		b.cluster = servers{b, redistest.StartCluster(b, 3).Nodes}
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

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[V any](v V, err error) V {
	check(err)
	return v
}
