package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Trace receives the events of every request and every hold.
func ExampleTrace() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	mu := mutex.New(rdb, "orders")
	mu.Trace = &mutex.Trace{
		Acquired: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "acquired", e.Path, e.Wait < time.Minute)
		},
		Failed: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "failed:", e.Err)
		},
		Lost: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "lost:", e.Cause)
		},
		Released: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "released", e.Held < time.Minute)
		},
	}

	lease, err := mu.LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := mu.TryLockContext(ctx); !errors.Is(err, mutex.ErrLocked) {
		fmt.Println(err)
	}
	if err := lease.Unlock(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// orders acquired immediate true
	// orders failed: baton: try to lock "orders": locked
	// orders released true
}
