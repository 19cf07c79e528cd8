package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A worker is one process of the crew.
type worker struct {
	n    int
	wg   *waitgroup.WaitGroup
	jobs *queue
	job  time.Duration // on average
}

// serve does jobs until no task is left to join, or ctx ends.
func (w *worker) serve(ctx context.Context) error {
	for {
		task, err := w.wg.Join(ctx)
		switch {
		case errors.Is(err, waitgroup.ErrNoTask), err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		// That a task was lost, as this process stood still for too long, is no
		// reason to end: there are others.
		if err := w.do(task); err != nil && task.Err() != waitgroup.ErrLost {
			return err
		}
	}
}

// do does a job. Where it fails the task is not done, and nobody is to say so: this
// process is about to exit, and then the task is abandoned.
func (w *worker) do(task *waitgroup.Task) error {
	// What has begun is finished. But if the task is lost, those who wait have
	// been told that it was abandoned, and what it does now comes too late.
	ctx, stop := task.Context(context.Background())
	defer stop()
	job, err := w.jobs.take(ctx, w.n)
	if err != nil {
		return err
	}
	select {
	case <-time.After(w.job/2 + rand.N(w.job)): // the work
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// First the result, then Done: who is told that all is done finds all results.
	// The hand is cleared last, so that a job is in it for as long as its task lives.
	if err := w.jobs.write(ctx, job, fmt.Sprintf("by worker %d", w.n)); err != nil {
		return err
	}
	if err := task.Done(); err != nil {
		return err
	}
	return w.jobs.clear(ctx, w.n, job)
}

// A task is what a worker is told when it is started.
type task struct {
	N      int
	Config config
}

const taskEnv = "FANOUT_TASK"

// work is a worker process. It ends when nothing is left to do, or stdin ends.
func work(told string) error {
	var t task
	if err := json.Unmarshal([]byte(told), &t); err != nil {
		return err
	}
	o, err := redis.ParseURL(t.Config.URL)
	if err != nil {
		return err
	}
	o.MaxRetries = -1 // to take a job again because the answer was lost would take two
	rdb := redis.NewClient(o)
	defer rdb.Close()
	w := &worker{t.N, waitgroup.New(rdb, t.Config.Key), &queue{rdb, t.Config.Key}, t.Config.Job}
	w.wg.TTL = t.Config.TTL

	// Ctrl-C reaches all processes of a terminal. To end the workers is for the one
	// that started them: by closing their stdin, as its own death does.
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		cancel(err)
	}()

	var (
		goroutines sync.WaitGroup
		errs       = make([]error, t.Config.Each)
	)
	for i := range errs {
		goroutines.Go(func() {
			if errs[i] = w.serve(ctx); errs[i] != nil {
				cancel(errs[i]) // the others end with it
			}
		})
	}
	goroutines.Wait()
	return errors.Join(errs...)
}
