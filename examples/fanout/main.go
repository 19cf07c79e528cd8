// Fanout distributes jobs to workers and waits for all of them, even if a worker dies.
//
//	go run ./examples/fanout
//
// The program starts a Redis in memory. With REDIS_URL set, it uses that server. Then start more
// workers in other terminals, and kill one: go run ./examples/fanout worker
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// wait waits until all jobs are done, and prints the progress. It returns an AbandonedError if a
// worker died during a job.
func wait(ctx context.Context, wg *waitgroup.WaitGroup) error {
	done, progress := wg.WaitChan(ctx), time.NewTicker(time.Second)
	defer progress.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-progress.C:
			if status, err := wg.Inspect(ctx); err == nil {
				fmt.Println(status.Outstanding(), "jobs outstanding,", len(status.Tasks), "in progress,", status.Abandoned, "abandoned")
			}
		}
	}
}

// work claims a task for each job that it takes from the list, until no task is left.
func work(ctx context.Context, rdb *redis.Client, wg *waitgroup.WaitGroup, list string, do func(job string) error) error {
	for {
		task, err := wg.Claim(ctx)
		if errors.Is(err, waitgroup.ErrNothingToClaim) {
			return nil
		} else if err != nil {
			return err
		}
		job, err := rdb.LPop(ctx, list).Result()
		if err == nil {
			err = do(job)
		}
		if err != nil {
			return errors.Join(err, task.Abandon()) // wait returns an AbandonedError
		}
		if err := task.Done(); err != nil {
			return err // ErrLost: the task counts as abandoned
		}
	}
}

func main() {
	ctx := context.Background()
	s, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	wg, list := waitgroup.New(s.Client, "fanout-demo"), "fanout-demo:jobs"
	do := func(string) error { time.Sleep(time.Second); return nil }
	if len(os.Args) > 1 { // worker
		fmt.Println(work(ctx, s.Client, wg, list, do))
		return
	}
	s.RPush(ctx, list, 1, 2, 3, 4, 5, 6, 7, 8, 9) // push the jobs first, so that each claimed task finds one
	wg.Add(9)
	go func() { fmt.Println("worker:", work(ctx, s.Client, wg, list, do)) }() // usually in another process
	fmt.Println("all jobs:", wait(ctx, wg))
}
