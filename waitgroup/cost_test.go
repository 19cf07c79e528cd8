package waitgroup_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Every operation costs one request. The end of a generation costs one message, for any number of
// waiters.
func TestCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const processes = 4
		c, all := redistest.MiniClients(t, 1+processes)
		ctx := t.Context()
		wg := waitgroup.New(all[0], "key")
		work := func(context.Context) error { return nil }
		must(wg.Do(ctx, work)) // the server learns the scripts
		must(wg.WaitContext(ctx))
		c.CheckCost(t, "Add", 1, 0, func() { wg.Add(3) })
		c.CheckCost(t, "Add(0)", 0, 0, func() { wg.Add(0) })
		c.CheckCost(t, "Done", 1, 0, func() { wg.Done() })
		var task *waitgroup.Task
		c.CheckCost(t, "Claim", 1, 0, func() { task = claim(t, wg) })
		c.CheckCost(t, "Done of a task", 1, 0, func() { must(task.Done()) })
		c.CheckCost(t, "Do", 2, 0, func() { must(wg.Do(ctx, work)) })
		c.CheckCost(t, "the last Done", 1, 1, func() { wg.Done() })
		c.CheckCost(t, "Do as a generation", 2, 1, func() { must(wg.Do(ctx, work)) })
		c.CheckCost(t, "Wait without tasks", 1, 0, func() { wg.Wait() })

		wg.Add(1)
		var waits []<-chan error
		for _, rdb := range all[1:] {
			for range 25 {
				waits = append(waits, waitgroup.New(rdb, "key").WaitChan(ctx))
			}
		}
		time.Sleep(100 * time.Millisecond) // for the second requests of all processes
		c.CheckCost(t, "the end of 100 waits", 1, 1, func() {
			wg.Done()
			for _, c := range waits {
				must(<-c)
			}
		})
	})
}

// All tasks of a client are renewed in one pipeline, three times a TTL.
func TestCostRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var pipelines, commands atomic.Int64
		rdb.AddHook(redistest.Hook{Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
			pipelines.Add(1)
			commands.Add(int64(len(cmds)))
			return next(ctx, cmds)
		}})
		var tasks []*waitgroup.Task
		for i := range 100 {
			wg := waitgroup.New(rdb, fmt.Sprint("key", i%10))
			wg.Add(1)
			tasks = append(tasks, claim(t, wg))
		}
		const ttls = 10
		time.Sleep(ttls*waitgroup.DefaultTTL - time.Second) // at a time without renewals
		if p := pipelines.Load(); p > 32 || p < 2*ttls || commands.Load() != 100*p {
			t.Errorf("%d pipelines with %d commands in %d TTLs", p, commands.Load(), ttls)
		}
		for _, task := range tasks {
			must(task.Done())
		}
	})
}
