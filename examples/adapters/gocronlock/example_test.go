package gocronlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// One of two processes runs the job.
func ExampleLocker() {
	ctx := context.Background()
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // your program calls redis.NewClient
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()
	done := make(chan string, 2)

	for range 2 { // as if in two processes
		locker := gocronlock.NewLocker(rdb.Client, "cron:", time.Minute)
		s, err := gocron.NewScheduler(gocron.WithDistributedLocker(locker))
		if err != nil {
			log.Fatal(err)
		}
		defer s.Shutdown()
		_, err = s.NewJob(
			gocron.OneTimeJob(gocron.OneTimeJobStartImmediately()),
			gocron.NewTask(func(ctx context.Context) {
				ctx, stop := locker.Context(ctx, "report") // canceled if the lock is lost
				defer stop()
				done <- fmt.Sprint("report: ", ctx.Err())
			}),
			gocron.WithName("report"), // part of the lock's key
			gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, job string, err error) {
				done <- fmt.Sprint(job, " runs or has run elsewhere: ", errors.Is(err, mutex.ErrLocked))
			})),
		)
		if err != nil {
			log.Fatal(err)
		}
		s.Start()
		fmt.Println(<-done)
	}
	// Output:
	// report: <nil>
	// report runs or has run elsewhere: true
}
