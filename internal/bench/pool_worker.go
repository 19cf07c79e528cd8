package main

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A poolWorker is a process that locks and unlocks each of many keys of a pool once.
type poolWorker struct {
	job
	client baton
}

func newPoolWorker(j job) (task, error) {
	c := newBaton(j.Addr, j.TTL)
	return &poolWorker{j, c}, warm(c, "warm")
}

func (c *poolWorker) close() { c.client.close() }

// run compares what is left of it with what there was before.
func (c *poolWorker) run(start time.Time) *tally {
	time.Sleep(time.Until(start))
	pool := mutex.NewPool(c.client.rdb, c.Key)
	pool.TTL = c.client.ttl
	before, goroutines, began := inUse(), runtime.NumGoroutine(), time.Now()
	var next atomic.Int64
	tallies := make([]tally, c.Goroutines)
	var wg sync.WaitGroup
	for i := range c.Goroutines {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for n := next.Add(1); n <= int64(c.Keys); n = next.Add(1) {
				if err := lockOnce(ctx, pool, strconv.FormatInt(n, 10)); err != nil {
					tallies[i].fail(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	settle()
	t := merged(tallies)
	t.figure("heap", float64(inUse()-before))
	t.figure("goroutines", float64(runtime.NumGoroutine()-goroutines))
	t.figure("seconds", took.Seconds())
	return t
}

func lockOnce(ctx context.Context, pool *mutex.Pool, key string) error {
	l, err := pool.LockContext(ctx, key)
	if err != nil {
		return err
	}
	return l.Unlock()
}
