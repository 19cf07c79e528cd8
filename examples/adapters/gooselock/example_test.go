package gooselock_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/pressly/goose/v3"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gooselock"
	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// Of processes that start together one migrates.
func Example() {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // redis.NewClient, in yours
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()
	db := new(versions) // stands for your database

	for range 2 { // as if in two processes
		locker := gooselock.New(mutex.New(rdb.Client, "migrate:shop"))
		locker.Lost = cancel // a migration that is no longer alone ends
		p := provider(db, goose.WithLocker(locker), func(context.Context) error { return nil })
		results, err := p.Up(ctx)
		fmt.Println(len(results), "migrations,", err)
		p.Close()
	}
	// Output:
	// 1 migrations, <nil>
	// 0 migrations, <nil>
}
