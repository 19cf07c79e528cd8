package waitgroup_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestCost: every operation is one request, and only the end of a generation is told, by
// one message, however many there are who wait.
func TestCost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	ctx := t.Context()
	wg := waitgroup.New(rdb, "key")
	work := func(context.Context) error { return nil }
	must(wg.Do(ctx, work)) // the server learns the scripts
	must(wg.WaitContext(ctx))
	cost := func(what string, requests, messages int64, f func()) {
		t.Helper()
		before := s.Stats(t)
		f()
		if c := s.Stats(t).Since(before); c.Requests() != requests || c.Published() != messages || c.Subscribes() != 0 {
			t.Errorf("%s: %d requests, %d messages, %d subscriptions", what, c.Requests(), c.Published(), c.Subscribes())
		}
	}
	cost("Add", 1, 0, func() { wg.Add(3) })
	cost("Add(0)", 0, 0, func() { wg.Add(0) })
	cost("Done", 1, 0, func() { wg.Done() })
	var task *waitgroup.Task
	cost("Claim", 1, 0, func() { task = claim(t, wg) })
	cost("Done of a task", 1, 0, func() { must(task.Done()) })
	cost("Do", 2, 0, func() { must(wg.Do(ctx, work)) })
	cost("the last Done", 1, 1, func() { wg.Done() })
	cost("Do, as a round", 2, 1, func() { must(wg.Do(ctx, work)) })
	cost("Wait for nothing", 1, 0, func() { wg.Wait() })
}

// TestCostWake: one message wakes all who wait, in all processes, and none of
// them asks thereafter.
func TestCostWake(t *testing.T) {
	t.Parallel()
	const processes = 4
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	var waits []<-chan error
	for range processes {
		other := waitgroup.New(s.Client(t, redistest.Patient), "key")
		for range 25 {
			waits = append(waits, other.WaitChan(t.Context()))
		}
	}
	listening(t, rdb, processes)
	goesOn(t, "the first", waits[0], 200*time.Millisecond) // they have looked again
	before := s.Stats(t)
	wg.Done()
	for _, c := range waits {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	// A poll may fall into this moment, and who is told first may have left already.
	if c := s.Stats(t).Since(before); c.Published() != 1 || c.Scripts() > 2 {
		t.Errorf("%d messages, %d requests", c.Published(), c.Scripts())
	}
}

// TestCostRenewal renews all tasks of a client in one pipeline, three times a TTL.
func TestCostRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var pipelines pipelineCounter
		rdb.AddHook(&pipelines)
		var tasks []*waitgroup.Task
		for i := range 100 {
			wg := waitgroup.New(rdb, fmt.Sprint("key", i%10))
			wg.Add(1)
			tasks = append(tasks, claim(t, wg))
		}
		const ttls = 10
		time.Sleep(ttls*waitgroup.DefaultTTL - time.Second) // just then none is due
		synctest.Wait()                                     // which makes what was counted ours to read
		if p := pipelines.pipelines; p > 3.2*ttls || p < 2*ttls || pipelines.commands != 100*p {
			t.Errorf("%d pipelines with %d commands in %d TTLs", p, pipelines.commands, ttls)
		}
		for _, task := range tasks {
			if err := task.Done(); err != nil {
				t.Error(err)
			}
		}
	})
}

type pipelineCounter struct{ pipelines, commands int }

func (c *pipelineCounter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *pipelineCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c *pipelineCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.pipelines++
		c.commands += len(cmds)
		return next(ctx, cmds)
	}
}
