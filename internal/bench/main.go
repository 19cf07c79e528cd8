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
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A bench is one run of the command.
type bench struct {
	server      *server
	cluster     *server // nil until a row needs it
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
	list, err := chooseRows(*names)
	if err == nil {
		err = chooseSystems(b.systems)
	}
	if err == nil {
		err = b.run(ctx, list, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, list []*row, rounds int) (err error) {
	if b.dir, err = os.MkdirTemp("", "baton-bench-redis-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	s, err := redistest.Launch(b.dir)
	if err != nil {
		return err
	}
	b.server = newServer(s)
	defer b.close()

	began, before := time.Now(), load()
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, load average %s\n", n+1, rounds, load())
		for _, r := range list {
			if err := r.round(ctx, b, n); err != nil {
				return err
			}
		}
	}
	info, err := s.Info()
	if err != nil {
		return err
	}
	fmt.Printf("%d rounds of %v, medians; %s %s/%s, %d CPUs, redis-server %s; load average before %s, after %s; run time %v\n\n",
		rounds, b.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), info["redis_version"], before, load(),
		time.Since(began).Round(time.Second))
	b.print(list)
	return nil
}

func (b *bench) close() {
	b.server.close()
	if b.cluster != nil {
		b.cluster.close()
	}
}

// print prints all tables, and the settings of the systems.
func (b *bench) print(list []*row) {
	for _, r := range list {
		fmt.Println(r.report().markdown())
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
	fmt.Println("\n" + goalTable(list).markdown())
}

func chooseRows(names string) (list []*row, err error) {
	if names == "" {
		return rows, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown row %q", name)
		}
		list = append(list, rows[i])
	}
	return list, nil
}

func chooseSystems(names string) error {
	for name := range strings.SplitSeq(names, ",") {
		if _, ok := systemNamed(name); name != "" && !ok {
			return fmt.Errorf("unknown system %q", name)
		}
	}
	return nil
}

// load returns the machine's load average, or "unknown".
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
