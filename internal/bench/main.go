package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A bench is one run of the command.
type bench struct {
	server   *server
	systems  []system
	duration time.Duration
	profile  string // directory for CPU profiles, or empty
}

// A row is one workload. Its rounds are interleaved with those of other rows.
type row interface {
	round(ctx context.Context, b *bench, n int) error
	report(b *bench) table
}

func main() {
	workIfTold()
	var (
		rounds   = flag.Int("rounds", 5, "how often to measure everything")
		duration = flag.Duration("duration", 2*time.Second, "of each measurement, that is per row, system and round")
		rows     = flag.String("rows", "solo,hot-4x8,hot-16x1", "what to measure: solo, and hot-PxG or hot-PxG-HOLD for P processes of G goroutines")
		names    = flag.String("systems", "", "what to measure it with; empty means all")
		markdown = flag.Bool("markdown", false, "print Markdown")
		profile  = flag.String("profile", "", "write CPU profiles into this directory")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{duration: *duration, profile: *profile}
	if err := b.run(ctx, *rounds, *rows, *names, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, rounds int, rows, names string, markdown bool) error {
	list, err := parse(rows)
	if err != nil {
		return err
	}
	if b.systems, err = choose(names); err != nil {
		return err
	}
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
	b.server = newServer(s)
	defer b.server.hangUp()

	before := load()
	if err := b.profiled(func() error { return b.rounds(ctx, list, rounds) }); err != nil {
		return err
	}
	info, err := b.server.info(ctx, "server")
	if err != nil {
		return err
	}
	fmt.Printf("%d rounds of %v, medians; %s %s/%s, %d CPUs, redis-server %s; load average before %s, after %s\n\n",
		rounds, b.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), info["redis_version"], before, load())
	for _, r := range list {
		t := r.report(b)
		if markdown {
			fmt.Println(t.markdown())
		} else {
			fmt.Println(t.text())
		}
	}
	fmt.Print("Settings:\n\n")
	for _, sys := range b.systems {
		fmt.Printf("* %s: %s\n", sys.name, sys.settings)
	}
	return nil
}

func (b *bench) rounds(ctx context.Context, list []row, rounds int) error {
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, load average %s\n", n+1, rounds, load())
		for _, r := range list {
			if err := r.round(ctx, b, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// profiled writes a profile of this process, which is of solo: workers write their own.
func (b *bench) profiled(f func() error) error {
	if b.profile == "" {
		return f()
	}
	if err := os.MkdirAll(b.profile, 0o777); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(b.profile, "solo.prof"))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

func parse(rows string) (list []row, err error) {
	for name := range strings.SplitSeq(rows, ",") {
		if name == "solo" {
			list = append(list, newSolo())
			continue
		}
		h, err := newHot(name)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func choose(names string) ([]system, error) {
	if names == "" {
		return systems, nil
	}
	var list []system
	for name := range strings.SplitSeq(names, ",") {
		sys, ok := systemNamed(name)
		if !ok {
			return nil, fmt.Errorf("there is no system %q", name)
		}
		list = append(list, sys)
	}
	return list, nil
}

// rotated starts the list elsewhere in each round, so that nobody always follows
// the same.
func rotated[T any](list []T, n int) []T {
	n %= len(list)
	return append(append([]T(nil), list[n:]...), list[:n]...)
}
