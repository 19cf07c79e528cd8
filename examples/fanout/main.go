// Fanout shows one process that fans jobs out over others, and waits until nothing
// is left of them, though one of the others is killed with jobs in hand.
//
//	go run ./examples/fanout
//
// needs no Redis, it brings one. It adds all jobs to a wait group, puts them on
// a list, and starts itself again as a few worker processes, which join a task for
// each job that they take. A third of the way in it kills one of them. The jobs that
// this one had taken are done by nobody; a plain counter would keep everybody waiting
// for them. Here those who wait are told, within a TTL and a second, how many tasks
// were abandoned, and what Redis knows of the jobs says which ones these are. If the
// two ever disagreed, the exit status would be 1.
//
// With REDIS_URL=redis://localhost:6379 it uses that server. -kill=false spares
// the worker.
//
// The code to copy is coordinate, below, and worker.do, in worker.go.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// coordinate has the jobs done, and returns what became of the wait for them: nil
// if all are done, an AbandonedError if a worker died with some of them in hand.
func coordinate(ctx context.Context, cfg config, wg *waitgroup.WaitGroup, jobs *queue, b *board) error {
	// As with sync, what is to be waited for is added before anybody can be done
	// with it. Who joins a task finds a job, as the jobs are there before the workers.
	if err := wg.AddContext(ctx, cfg.Jobs); err != nil {
		return err
	}
	if err := jobs.put(ctx, cfg.Jobs); err != nil {
		return err
	}
	crew, err := hire(ctx, cfg)
	if err != nil {
		return err
	}
	defer crew.dismiss()

	over := wg.WaitChan(crew.ctx) // Ctrl-C, or a worker that fails, ends it
	progress := time.NewTicker(frameTime)
	defer progress.Stop()
	for {
		select {
		case err := <-over:
			return b.over(err)
		case <-progress.C:
			n, err := jobs.count(ctx, cfg.Workers)
			b.show(n, err)
			if victim := b.victimOf(n); victim > 0 {
				crew.kill(victim)
			}
		case <-crew.ctx.Done(): // the workers finish what they have in hand
			return b.over(<-over)
		}
	}
}

// run runs the demonstration until its jobs are over or ctx ends, which is no
// error. It is one if a worker failed, or if the wait group and the jobs disagree.
func run(ctx context.Context, cfg config, out io.Writer) error {
	redis, err := server.Connect(ctx, cfg.URL)
	if err != nil {
		return err
	}
	defer redis.Close()
	cfg.URL = redis.URL
	cfg.Key += ":" + rand.Text()[:8] // what another run does, or has left, is none of ours

	fmt.Fprintf(out, "%d jobs, %d workers with %d goroutines each, wait group %q on %s\n",
		cfg.Jobs, cfg.Workers, cfg.Each, cfg.Key, redis.Name)
	jobs := &queue{redis.Client, cfg.Key}
	b := newBoard(cfg, out)
	told := coordinate(ctx, cfg, waitgroup.New(redis.Client, cfg.Key), jobs, b)

	// No worker is left, so that nothing changes any more.
	after := context.WithoutCancel(ctx)
	l, err := jobs.audit(after, cfg.Workers)
	if b.told.IsZero() || err != nil { // it has not even begun, or nobody knows
		return errors.Join(told, err, jobs.drop(after, cfg.Workers))
	}
	err = b.summary(l, told)
	if err == told && ctx.Err() != nil {
		err = nil // Ctrl-C is none
	}
	return errors.Join(err, jobs.drop(after, cfg.Workers))
}

func main() {
	if told := os.Getenv(taskEnv); told != "" { // this is one of the workers
		if err := work(told); err != nil {
			fmt.Fprintln(os.Stderr, "fanout: worker:", err)
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
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}
