package mutex_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// Many processes start, and one of them migrates the database.
func ExampleOnce() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	for range 3 { // processes
		once := mutex.NewOnce(rdb, "migrate:42")
		once.Do(func() { fmt.Println("migrating") })
	}
	// Output: migrating
}

// After an error, the next call runs f again.
func ExampleOnce_DoContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	once := mutex.NewOnce(rdb, "migrate:42")
	once.Label = "web-1"
	for _, result := range []error{errors.New("no space left"), nil, nil} {
		ran, err := once.DoContext(ctx, func(ctx context.Context) error {
			status, _ := once.Inspect(ctx)
			fmt.Print(status.Holders[0].Label, " runs: ")
			return result // ctx is canceled if the lock is lost
		})
		fmt.Println(ran, err)
	}
	last, err := once.Last(ctx)
	fmt.Println(last.By.Label, last.Err == "", err)
	// Output:
	// web-1 runs: true no space left
	// web-1 runs: true <nil>
	// false <nil>
	// web-1 true <nil>
}

// With Every, one process runs f once an hour. TryDo does not wait.
func ExampleOnce_TryDo() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	report := mutex.NewOnce(rdb, "report")
	report.Every = time.Hour
	for range 3 {
		ran, err := report.TryDo(ctx, func(context.Context) error { return nil })
		fmt.Println(ran, err)
	}
	done, err := report.Done(ctx)
	fmt.Println(done, err)
	fmt.Println(report.Reset(ctx)) // the next call runs f again
	// Output:
	// true <nil>
	// false <nil>
	// false <nil>
	// true <nil>
	// <nil>
}

// A run can send its fencing token with its writes.
func ExampleLeaseFromContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	_, _ = mutex.NewOnce(rdb, "key").DoContext(context.Background(), func(ctx context.Context) error {
		fmt.Println(mutex.LeaseFromContext(ctx).Fence() > 0)
		return nil
	})
	// Output: true
}

// Many callers want a price, and one of them fetches it.
func ExampleFlight() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	prices := mutex.NewFlight(rdb, "price:")
	prices.Keep = time.Minute
	prices.Stale = time.Hour // after Keep: the old price, while one process fetches a new one
	for range 3 {
		price, shared, err := prices.Do(ctx, "eur", func(ctx context.Context) ([]byte, error) {
			status, _ := prices.Inspect(ctx, "eur")
			fmt.Println("fetching:", status.Held())
			return []byte("1.08"), nil
		})
		fmt.Println(string(price), shared, err)
	}
	// Output:
	// fetching: true
	// 1.08 false <nil>
	// 1.08 true <nil>
	// 1.08 true <nil>
}

// KeepNotFound keeps the NotFound error, for a shorter time.
func ExampleFlight_DoChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	users := mutex.NewFlight(rdb, "user:")
	users.Keep = time.Minute
	users.NotFound, users.KeepNotFound = sql.ErrNoRows, time.Second
	query := func(context.Context) ([]byte, error) {
		fmt.Println("querying the database")
		return nil, fmt.Errorf("user 7: %w", sql.ErrNoRows)
	}
	for range 2 {
		r := <-users.DoChan(ctx, "7", query)
		fmt.Println(r.Err)
	}
	fmt.Println(users.Forget(ctx, "7")) // user 7 has signed up
	// Output:
	// querying the database
	// user 7: sql: no rows in result set
	// sql: no rows in result set
	// <nil>
}
