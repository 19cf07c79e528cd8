package waitgroup_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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
