package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// TestTry: a try that times out, or whose ctx is canceled, leaves no queue entry. A try of a free lock
// runs the work.
func TestTry(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		holder, waiter := mutex.New(rdb, "key"), mutex.New(redistest.Sibling(t, rdb), "key")
		queued := func() bool { return rdb.ZCard(context.Background(), "baton:{key}:queue").Val() == 1 }
		refused := func(*mutex.Lease) { t.Error("two workers hold the lock") }
		holder.Lock()
		if ran, err := try(t.Context(), waiter, 200*time.Millisecond, refused); ran || err != nil {
			t.Errorf("the try that times out: %t, %v", ran, err)
		}
		redistest.Eventually(t, redistest.Patience, func() bool { return !queued() }, "the queue entry is removed")

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tried := make(chan error, 1)
		go func() {
			_, err := try(ctx, waiter, time.Hour, refused)
			tried <- err
		}()
		redistest.Eventually(t, redistest.Patience, queued, "the try is queued")
		cancel()
		if err := <-tried; !errors.Is(err, context.Canceled) {
			t.Errorf("the canceled try: %v", err)
		}
		redistest.Eventually(t, redistest.Patience, func() bool { return !queued() }, "the queue entry is removed")

		holder.Unlock()
		worked := false
		if ran, err := try(t.Context(), waiter, time.Hour, func(*mutex.Lease) { worked = true }); !ran || err != nil || !worked {
			t.Errorf("the try of a free lock: %t, %v", ran, err)
		}
	})
}
