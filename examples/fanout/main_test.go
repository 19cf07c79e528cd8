package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

func TestMain(m *testing.M) {
	redistest.Main(m, map[string]func(){"hangs": func() {
		rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("ADDR")})
		wg := waitgroup.New(rdb, "group")
		wg.TTL = 500 * time.Millisecond // of the task, after the process has died
		_ = work(context.Background(), rdb, wg, "jobs", func(job string) error {
			fmt.Println(job)
			select {}
		})
	}})
}

// TestWaitReportsAbandonedJobs: a failed job and the job of a killed worker are abandoned.
func TestWaitReportsAbandonedJobs(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		t.Parallel()
		rdb.RPush(t.Context(), "jobs", "killed", "failed", "done")
		wg := waitgroup.New(rdb, "group") // whose own tasks outlast a stall
		wg.Add(3)
		killed := redistest.Spawn(t, "hangs", "ADDR="+rdb.Options().Addr)
		if job := <-killed.Lines(); job != "killed" {
			t.Fatalf("the worker took %q", job)
		}
		killed.Kill()

		failure := errors.New("out of paper")
		if err := work(t.Context(), rdb, wg, "jobs", func(string) error { return failure }); !errors.Is(err, failure) {
			t.Error(err)
		}
		if err := work(t.Context(), rdb, wg, "jobs", func(string) error { return nil }); err != nil {
			t.Error(err)
		}
		lost, ok := errors.AsType[*waitgroup.AbandonedError](wait(t.Context(), wg))
		if !ok || lost.Tasks != 2 {
			t.Errorf("%v, %v", lost, ok)
		}
	})
}
