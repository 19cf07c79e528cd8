package gocronlock_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/go-co-op/gocron/v2"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// One process runs all jobs, until it dies or resigns.
func ExampleElector() {
	ctx := context.Background()
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // redis.NewClient, in yours
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()

	elector := gocronlock.NewElector(mutex.New(rdb.Client, "cron leader"))
	s, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	_, err = s.NewJob(
		gocron.OneTimeJob(gocron.OneTimeJobStartImmediately()),
		gocron.NewTask(func(ctx context.Context) {
			ctx, stop := elector.Context(ctx) // ends if the leadership is lost
			defer stop()
			done <- ctx.Err()
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	fmt.Println("the job:", <-done)

	other := gocronlock.NewElector(mutex.New(rdb.Client, "cron leader")) // of another process
	fmt.Println("another process:", other.IsLeader(ctx))

	fmt.Println("shutdown:", s.Shutdown(), elector.Resign())
	fmt.Println("another process:", other.IsLeader(ctx))
	fmt.Println("it resigns, too:", other.Resign())
	// Output:
	// the job: <nil>
	// another process: baton: try to lock "cron leader": locked
	// shutdown: <nil> <nil>
	// another process: <nil>
	// it resigns, too: <nil>
}
