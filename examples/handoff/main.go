// Handoff shows how a lock is handed from worker to worker. A few workers contend for it
// in a select. The terminal shows which worker holds the lock, which ones wait, and how long
// each hand-over took.
//
//	go run ./examples/handoff
//
// The program starts a Redis in memory. To see hand-overs between processes, start it in several
// terminals:
//
//	REDIS_URL=redis://localhost:6379 go run ./examples/handoff -for 1m
//
// Then end a process with Ctrl-C: it unlocks, and the others continue at once. Or kill -9 the
// holder: the others continue after its TTL. Or pause the holder with Ctrl-Z, and resume it with
// fg: it reports the lost lock at once.
//
// The code to copy is worker.attempt, in worker.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

type config struct {
	url     string // of Redis; empty for an embedded one
	key     string
	ttl     time.Duration
	workers int
	hold    time.Duration // on average
	length  time.Duration // of the run; 0 means until Ctrl-C
	live    bool          // redraw the screen instead of printing lines
}

func main() {
	cfg, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	cfg.url = os.Getenv("REDIS_URL")
	if cfg.live {
		logging.Disable() // go-redis would print over the screen
	}

	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second Ctrl-C kills the process
	if err := run(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "handoff:", err)
		os.Exit(1)
	}
}

// run runs the demonstration for cfg.length or until ctx is done. It returns an error if the lock
// could not be acquired, or if two workers held it at once.
func run(ctx context.Context, cfg config, out io.Writer) error {
	redis, err := server.Connect(ctx, cfg.url)
	if err != nil {
		return err
	}
	defer redis.Close()
	mu := mutex.New(redis.Client, cfg.key)
	mu.TTL = cfg.ttl

	if cfg.length > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, cfg.length)
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var (
		workers sync.WaitGroup
		inside  atomic.Pointer[mutex.Lease]
		events  = make(chan event, 64)
		errs    = make(chan error, cfg.workers)
		diary   = &diary{rdb: redis.Client, key: cfg.key + ":diary"}
	)
	for n := 1; n <= cfg.workers; n++ {
		w := &worker{name{os.Getpid(), n}, mu, cfg.hold, &inside, diary, events}
		workers.Go(func() {
			if err := w.work(ctx); err != nil {
				errs <- err
				cancel() // end the other workers
			}
		})
	}
	go func() {
		workers.Wait()
		close(events)
	}()

	b := newBoard(cfg, redis.Name, out)
	b.watch(events)
	select {
	case err := <-errs:
		return err
	default:
		return b.summary(lockState(mu))
	}
}

// lockState describes the state of the lock after all workers have ended.
func lockState(mu *mutex.Mutex) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	lease, err := mu.TryLockContext(ctx)
	if err == nil {
		err = lease.Unlock()
	}
	switch {
	case err == nil:
		return "the lock is free now"
	case errors.Is(err, mutex.ErrLocked):
		return "another process holds the lock now"
	default:
		return "the state of the lock is unknown: " + err.Error()
	}
}

func parse(args []string, usage io.Writer) (cfg config, err error) {
	f := flag.NewFlagSet("handoff", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&cfg.workers, "workers", 4, "number of `goroutines` that contend")
	f.DurationVar(&cfg.hold, "hold", 150*time.Millisecond, "average `time` that a worker holds the lock")
	f.DurationVar(&cfg.length, "for", 8*time.Second, "end after this `time`; 0 means until Ctrl-C")
	f.StringVar(&cfg.key, "key", "handoff-demo", "the lock's `key` in Redis")
	f.DurationVar(&cfg.ttl, "ttl", 2*time.Second, "how long Redis keeps the lock after its process has died")
	f.BoolVar(&cfg.live, "live", isTerminal(os.Stdout), "redraw the screen instead of printing lines; the default on a terminal")
	if err := f.Parse(args); err != nil {
		return cfg, err // Parse has printed the error
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case cfg.workers < 1:
		err = errors.New("-workers must be at least 1")
	case cfg.hold <= 0:
		err = errors.New("-hold must be positive")
	case cfg.length < 0:
		err = errors.New("-for must not be negative")
	case cfg.key == "":
		err = errors.New("-key must not be empty")
	case cfg.ttl < 10*time.Millisecond:
		err = errors.New("-ttl must be at least 10ms")
	}
	if err != nil {
		fmt.Fprintln(usage, "handoff:", err)
	}
	return cfg, err
}
