package main

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// TestPools: two pools, like two processes, never run more jobs at once than the permits allow. When
// ctx is done, the remaining jobs do not start.
func TestPools(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		run := func(ctx context.Context, work func(context.Context, int) error) <-chan error {
			jobs := make(chan int, 20)
			for job := range cap(jobs) {
				jobs <- job
			}
			close(jobs)
			p := &pool{semaphore.NewWeighted(rdb, "jobs", 2), semaphore.NewLimiter(rdb, "rate", semaphore.Inf, 1)}
			return p.run(ctx, 3, jobs, work)
		}
		running := make(chan int, 2)
		work := func(_ context.Context, job int) error {
			select {
			case running <- job:
				<-running
				return nil
			default:
				return errors.New("more jobs than permits run at once")
			}
		}
		for _, errs := range []<-chan error{run(t.Context(), work), run(t.Context(), work)} {
			done := 0
			for err := range errs {
				done++
				if err != nil {
					t.Error(err)
				}
			}
			if done != 20 {
				t.Errorf("%d jobs are done", done)
			}
		}

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		canceled := 0
		for err := range run(ctx, func(context.Context, int) error { cancel(); return nil }) {
			if errors.Is(err, context.Canceled) {
				canceled++
			}
		}
		if canceled < 18 { // two jobs may have started
			t.Errorf("%d jobs are canceled", canceled)
		}
	})
}
