// Workerpool shows a pool of workers that spans processes: in all of them
// together at most so many jobs are at work at once, and at most so many begin in
// a second.
//
//	go run ./examples/workerpool
//
// needs no Redis, it brings one. It starts itself again as a few worker
// processes and shows what they do; kills one of them while it holds permits, and
// shows when these come back; and ends with what it has counted. Nothing of that
// is asked of Redis: the workers say what they do on a pipe. If there ever were
// more jobs than permits, the exit status is 1.
//
// With REDIS_URL=redis://localhost:6379 it uses that server, and started in
// several terminals they share the permits.
//
// The code to copy is in worker.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

type config struct {
	URL     string // of Redis; empty for one of our own
	Key     string
	TTL     time.Duration
	Workers int           // processes
	Each    int           // goroutines in each
	Permits int64         // jobs at once
	Rate    float64       // jobs a second
	Job     time.Duration // on average
	Length  time.Duration // of the whole
}

func main() {
	if task := os.Getenv(taskEnv); task != "" { // this is one of the workers
		if err := work(task); err != nil {
			fmt.Fprintln(os.Stderr, "workerpool: worker:", err)
			os.Exit(1)
		}
		return
	}
	cfg, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	cfg.URL = os.Getenv("REDIS_URL")

	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second Ctrl-C kills
	if err := run(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "workerpool:", err)
		os.Exit(1)
	}
}

// run runs the demonstration until its time is over or ctx ends, which is no
// error. It is one if a worker failed, or if there were too many jobs.
func run(ctx context.Context, cfg config, out io.Writer) error {
	redis, err := server.Connect(ctx, cfg.URL)
	if err != nil {
		return err
	}
	defer redis.Close()
	cfg.URL = redis.URL

	// The size lives in Redis, and an earlier run may have left another one there.
	pool := semaphore.NewWeighted(redis.Client, cfg.Key, cfg.Permits)
	if err := pool.Resize(ctx, cfg.Permits); err != nil {
		return err
	}

	// It ends when the board says so, that is, when the permits have come back too.
	ctx, stop := context.WithTimeout(ctx, 2*cfg.Length+10*cfg.TTL)
	defer stop()
	b := newBoard(cfg, out)
	fleet, err := startFleet(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d workers, %d permits at %q on %s\n", cfg.Workers, cfg.Permits, cfg.Key, redis.Name)
	b.watch(fleet, stop)
	err = errors.Join(b.summary(), fleet.err)
	fmt.Fprintln(out, whereabouts(pool, cfg.Permits))
	return err
}

// whereabouts tells where the permits are, now that no worker is left. It waits a
// little: the place that a killed one had in the queue may be given a last one.
func whereabouts(pool *semaphore.Weighted, permits int64) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lease, err := pool.AcquireLease(ctx, permits)
	if err != nil {
		return "not all permits are free now: " + err.Error()
	}
	if err := lease.Release(); err != nil {
		return "where the permits are now cannot be told: " + err.Error()
	}
	return "all permits are free now"
}

func parse(args []string, usage io.Writer) (cfg config, err error) {
	f := flag.NewFlagSet("workerpool", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&cfg.Workers, "workers", 4, "how many `processes` there are")
	f.IntVar(&cfg.Each, "each", 3, "how many `goroutines` each of them has")
	f.Int64Var(&cfg.Permits, "permits", 6, "how many `jobs` there may be at once")
	f.Float64Var(&cfg.Rate, "rate", 40, "how many `jobs` may begin in a second")
	f.DurationVar(&cfg.Job, "job", 140*time.Millisecond, "how long a job takes, on average")
	f.DurationVar(&cfg.Length, "for", 6*time.Second, "how long all this lasts")
	f.StringVar(&cfg.Key, "key", "workerpool-demo", "the semaphore's `key` in Redis")
	f.DurationVar(&cfg.TTL, "ttl", 2*time.Second, "how long Redis keeps the permits of a process that died")
	if err := f.Parse(args); err != nil {
		return cfg, err // Parse has said why
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("there is no argument %q", f.Arg(0))
	case cfg.Workers < 2:
		err = fmt.Errorf("-workers %d: one is going to be killed, it takes another", cfg.Workers)
	case cfg.Each < 1:
		err = fmt.Errorf("-each %d: it takes at least one", cfg.Each)
	case cfg.Permits < 1:
		err = fmt.Errorf("-permits %d: it takes at least one", cfg.Permits)
	case !(cfg.Rate > 0):
		err = fmt.Errorf("-rate %v: then there are no jobs", cfg.Rate)
	case cfg.Job <= 0:
		err = fmt.Errorf("-job %v: it takes some time", cfg.Job)
	case cfg.Key == "":
		err = errors.New("-key: it cannot be empty")
	case cfg.TTL < 10*time.Millisecond:
		err = fmt.Errorf("-ttl %v: it takes at least 10ms", cfg.TTL)
	case cfg.Length <= 0:
		err = fmt.Errorf("-for %v: it takes some time", cfg.Length)
	}
	if err != nil {
		fmt.Fprintln(usage, "workerpool:", err)
	}
	return cfg, err
}
