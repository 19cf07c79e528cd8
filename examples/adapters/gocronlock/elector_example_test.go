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
	rdb, err := server.Connect(context.Background(), os.Getenv("REDIS_URL")) // your program calls redis.NewClient
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()

	election := mutex.NewElection(rdb.Client, "cron leader")
	elector := gocronlock.NewElector(election)
	fmt.Println("at first:", elector.IsLeader(context.Background()))
	ctx, resign := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- elector.Run(ctx) }()
	for leader := range election.Observe(ctx) {
		if leader.Number != 0 {
			break
		}
	}

	s, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	_, err = s.NewJob(
		gocron.OneTimeJob(gocron.OneTimeJobStartImmediately()),
		gocron.NewTask(func(ctx context.Context) {
			ctx, stop := elector.Context(ctx) // canceled if the leadership is lost
			defer stop()
			done <- ctx.Err()
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	fmt.Println("the job:", <-done)

	fmt.Println("shutdown:", s.Shutdown())
	resign()
	fmt.Println("resigned:", <-stopped)
	fmt.Println("then:", elector.IsLeader(context.Background()))
	// Output:
	// at first: gocronlock: not the leader
	// the job: <nil>
	// shutdown: <nil>
	// resigned: <nil>
	// then: gocronlock: not the leader
}
