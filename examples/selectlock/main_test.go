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

// A try that times out, and one that ctx ends, leave the lock free and no queue entry.
func TestTryLeavesNothing(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		mu := mutex.New(rdb, "key")
		for name, test := range map[string]struct {
			timeout time.Duration
			want    error
		}{
			"timeout":  {time.Millisecond, nil},
			"shutdown": {time.Hour, context.Canceled},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			mu.Lock()
			type result struct {
				ran bool
				err error
			}
			results := make(chan result, 1)
			go func() {
				ran, err := try(ctx, mu, test.timeout, func(*mutex.Lease) {})
				results <- result{ran, err}
			}()
			if test.want != nil {
				cancel()
			}
			if r := <-results; r.ran || !errors.Is(r.err, test.want) {
				t.Errorf("%s: %v, %v", name, r.ran, r.err)
			}
			mu.Unlock()
			if ran, err := try(t.Context(), mutex.New(rdb, "key"), time.Minute, func(*mutex.Lease) {}); !ran || err != nil {
				t.Errorf("after a %s: %v, %v", name, ran, err)
			}
		}
	})
}
