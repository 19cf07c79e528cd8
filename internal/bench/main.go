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
	server   *server
	cluster  *server // nil until a row needs it
	dir      string  // of the cluster
	systems  []system
	duration time.Duration
	misses   []string
}

// missed notes that a measurement has failed, so that the others are still made.
func (b *bench) missed(ctx context.Context, row, system string, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	miss := fmt.Sprintf("%s: %s: %v", row, system, err)
	fmt.Fprintln(os.Stderr, miss)
	b.misses = append(b.misses, miss)
	return nil
}

// usual is what the command measures unless it is told.
const usual = "solo,own-4,own-16,own-64,own-64-latency,again-1,again-64,again-foreign,again-pingpong,cluster-own-64,cluster-hot-4x8,hot-4x8,hot-4x256,hot-16x1,hot-4x8-1ms,readers,readers-4x64-1ms,permits,permits-4x64-1ms"

func main() {
	workIfTold()
	var (
		rounds   = flag.Int("rounds", 3, "how often to measure everything")
		duration = flag.Duration("duration", time.Second, "of each measurement, that is per row, system and round")
		rows     = flag.String("rows", usual, usage())
		names    = flag.String("systems", "", "what to measure it with; empty means all")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	list, err := parse(*rows)
	if err == nil {
		b := &bench{duration: *duration}
		if b.systems, err = choose(*names); err == nil {
			err = b.run(ctx, list, *rounds)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, list []*entry, rounds int) error {
	dir, err := os.MkdirTemp("", "baton-bench-redis-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := redistest.Launch(dir)
	if err != nil {
		return err
	}
	defer s.Kill()
	b.server, b.dir = newServer(s), dir
	defer b.server.hangUp()
	defer b.endCluster()

	began, before := time.Now(), load()
	if err := b.rounds(ctx, list, rounds); err != nil {
		return err
	}
	info, err := b.server.info(ctx, "server")
	if err != nil {
		return err
	}
	fmt.Printf("%d rounds of %v, medians; %s %s/%s, %d CPUs, redis-server %s; load average before %s, after %s; it took %v\n\n",
		rounds, b.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), info["redis_version"], before, load(),
		time.Since(began).Round(time.Second))
	b.print(list)
	return nil
}

func (b *bench) rounds(ctx context.Context, list []*entry, rounds int) error {
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, load average %s\n", n+1, rounds, load())
		for _, e := range list {
			start := time.Now()
			if err := e.round(ctx, b, n); err != nil {
				return err
			}
			e.rounds++
			e.took += time.Since(start)
		}
	}
	return nil
}

func choose(names string) ([]system, error) {
	if names == "" {
		return systems, nil
	}
	var list []system
	for name := range strings.SplitSeq(names, ",") {
		sys, ok := systemNamed(name)
		if !ok || slices.ContainsFunc(baselines, func(y system) bool { return y.name == name }) {
			return nil, fmt.Errorf("there is no system %q", name)
		}
		list = append(list, sys)
	}
	return list, nil
}

// having are the chosen systems that a row picks.
func (b *bench) having(picks func(system) bool) (list []system) {
	for _, sys := range b.systems {
		if picks(sys) {
			list = append(list, sys)
		}
	}
	return list
}

// batching are the yardsticks for goroutines with a key each.
func batching() []system {
	return slices.DeleteFunc(slices.Clone(baselines), func(s system) bool { return !s.batches })
}

// rotated starts the list elsewhere in each round, so that nobody always follows
// the same.
func rotated[T any](list []T, n int) []T {
	if len(list) == 0 {
		return nil
	}
	n %= len(list)
	return append(append([]T(nil), list[n:]...), list[:n]...)
}
