package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func Example() {
	ctx := context.Background()
	redis, err := server.Connect(ctx, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()
	mu := mutex.New(redis.Client, "report")

	mu.Lock()
	fmt.Println(try(ctx, mu, 10*time.Millisecond, func(*mutex.Lease) { fmt.Println("alone") }))
	mu.Unlock()
	fmt.Println(try(ctx, mu, time.Minute, func(*mutex.Lease) { fmt.Println("alone") }))
	// Output:
	// false <nil>
	// alone
	// true <nil>
}

// TestTryLeavesNoQueueEntry: a try that times out, or whose ctx is canceled, leaves no queue entry.
func TestTryLeavesNoQueueEntry(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		o := *rdb.Options()
		another := redis.NewClient(&o) // like another process
		defer another.Close()
		holder, waiter := mutex.New(rdb, "key"), mutex.New(another, "key")
		holder.Lock()
		defer holder.Unlock()
		queued := func() bool { return rdb.ZCard(t.Context(), "baton:{key}:queue").Val() == 1 }

		for name, timeout := range map[string]time.Duration{"timeout": 200 * time.Millisecond, "cancel": time.Hour} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			errs := make(chan error, 1)
			go func() {
				_, err := try(ctx, waiter, timeout, func(*mutex.Lease) { t.Error("two workers hold the lock") })
				errs <- err
			}()
			if name == "cancel" {
				redistest.Eventually(t, 10*time.Second, queued, "the try is queued")
				cancel()
			}
			if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			redistest.Eventually(t, 2*time.Second, func() bool { return !queued() }, "the queue entry is removed after a %s", name)
		}
	})
}
