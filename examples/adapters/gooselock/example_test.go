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

// One of two processes migrates the database.
func Example() {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // your program calls redis.NewClient
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()
	db := new(versions) // represents your database

	for range 2 { // as if in two processes
		locker := gooselock.New(mutex.New(rdb.Client, "migrate:shop"))
		locker.Lost = cancel // cancels a migration that has lost the lock
		p := provider(db, goose.WithLocker(locker), func(context.Context) error { return nil })
		results, err := p.Up(ctx)
		fmt.Println(len(results), "migrations,", err)
		p.Close()
	}
	// Output:
	// 1 migrations, <nil>
	// 0 migrations, <nil>
}
