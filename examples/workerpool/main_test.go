package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// queue returns a channel of n jobs.
func queue(n int) <-chan int {
	jobs := make(chan int, n)
	for job := range n {
		jobs <- job
	}
	close(jobs)
	return jobs
}

// TestPoolsShareThePermits: two pools, like two processes, never run more jobs at once than the permits allow.
func TestPoolsShareThePermits(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		const permits = 2
		var running, most atomic.Int64
		var results []<-chan error
		for range 2 {
			p := &pool{semaphore.NewWeighted(rdb, "jobs", permits), semaphore.NewLimiter(rdb, "rate", semaphore.Inf, 1)}
			results = append(results, p.run(t.Context(), 3, queue(20), func(context.Context, int) error {
				now := running.Add(1)
				for {
					if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
						break
					}
				}
				running.Add(-1)
				return nil
			}))
		}
		done := 0
		for _, errs := range results {
			for err := range errs {
				if done++; err != nil {
					t.Error(err)
				}
			}
		}
		if done != 40 || most.Load() > permits {
			t.Errorf("%d jobs done, at most %d at once", done, most.Load())
		}
	})
}

// TestPoolStops: when ctx is done, the remaining jobs do not start.
func TestPoolStops(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := &pool{semaphore.NewWeighted(rdb, "jobs", 1), semaphore.NewLimiter(rdb, "rate", semaphore.Inf, 1)}
		started, canceled := 0, 0
		for err := range p.run(ctx, 1, queue(5), func(context.Context, int) error {
			started++
			cancel()
			return nil
		}) {
			if errors.Is(err, context.Canceled) {
				canceled++
			}
		}
		if started != 1 || canceled != 4 {
			t.Errorf("%d started, %d canceled", started, canceled)
		}
	})
}
