// Workerpool runs jobs with two limits that all its processes share: the number of concurrent
// jobs, and the number of starts per second.
//
//	go run ./examples/workerpool
//
// The program starts a Redis in memory. With REDIS_URL set, it uses that server, and several
// processes share the limits.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A pool runs jobs.
type pool struct {
	permits *semaphore.Weighted // limits concurrent jobs
	rate    *semaphore.Limiter  // limits starts per second
}

// run calls work for each job, from n goroutines. It returns the errors on a channel, one
// for each job, which is closed when all jobs are finished.
func (p *pool) run(ctx context.Context, n int, jobs <-chan int, work func(ctx context.Context, job int) error) <-chan error {
	errs := make(chan error)
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for job := range jobs {
				errs <- p.permits.Do(ctx, 1, func(ctx context.Context) error { // ctx is canceled if the permit is lost
					// Take the rate token last, just before the work, because a token cannot be kept.
					if err := p.rate.Wait(ctx); err != nil {
						return err
					}
					return work(ctx, job)
				})
			}
		})
	}
	go func() {
		workers.Wait()
		close(errs)
	}()
	return errs
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	p := &pool{semaphore.NewWeighted(redis.Client, "workerpool-demo", 3), semaphore.NewLimiter(redis.Client, "workerpool-demo:rate", 10, 1)}

	jobs := make(chan int, 30)
	for job := range cap(jobs) {
		jobs <- job
	}
	close(jobs)
	for err := range p.run(ctx, 6, jobs, func(_ context.Context, job int) error {
		fmt.Println(time.Now().Format("15:04:05.000"), "job", job)
		time.Sleep(400 * time.Millisecond)
		return nil
	}) {
		if err != nil {
			fmt.Println(err)
		}
	}
}
