package main

import (
	"context"
	"sync"
	"time"
)

// drainTimeout is for how long, after the end, a goroutine that waits may still get the
// lock; one that does not counts as unserved.
const drainTimeout = 5 * time.Second

// A hotWorker is a process whose goroutines all want the same key.
type hotWorker struct {
	job
	client
	mem   *sharedMem
	unmap func()
}

func newHotWorker(j job) (task, error) {
	c, err := j.openWarm()
	if err != nil {
		return nil, err
	}
	a, unmap, err := openSharedMem(j.SharedMem)
	if err != nil {
		c.close()
		return nil, err
	}
	return &hotWorker{j, c, a, unmap}, nil
}

func (c *hotWorker) close() {
	c.unmap()
	c.client.close()
}

func (c *hotWorker) run(start time.Time) *tally {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tallies := make([]tally, c.Goroutines)
	handles := make([]handle, c.Goroutines)
	for i := range handles {
		handles[i] = c.handle(c.Key)
	}
	time.Sleep(time.Until(start))
	end := time.Now().Add(c.Duration)
	// Not at the end: rueidislock unlocks when ctx ends, though somebody be inside.
	breaker := time.AfterFunc(c.Duration+drainTimeout, cancel)
	defer breaker.Stop()

	var wg sync.WaitGroup
	for i, h := range handles {
		wg.Go(func() {
			own, stop := context.WithCancel(ctx)
			defer stop()
			c.loop(own, h, end, &tallies[i])
		})
	}
	wg.Wait()
	return merged(tallies)
}

// loop is one goroutine: it locks, holds and unlocks until the end, and at least
// once, however late a busy machine lets it begin.
func (c *hotWorker) loop(ctx context.Context, h handle, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	for asked, first := time.Now(), true; first || asked.Before(end); asked, first = time.Now(), false {
		err := h.lock(ctx)
		got := time.Now()
		late := got.After(end)
		if late {
			got = end
		}
		t.waited(got.Sub(asked))
		if err != nil {
			if ctx.Err() != nil {
				t.Unserved++
				return
			}
			t.fail(err)
			continue
		}
		c.mem.enter(c.Limit)
		if late {
			t.Late++
		} else {
			t.Holds[0]++
		}
		if c.Hold > 0 {
			time.Sleep(c.Hold)
		}
		c.mem.leave()
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
	}
}
