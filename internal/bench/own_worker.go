package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// An ownKeyWorker is a process whose goroutines want a key each.
type ownKeyWorker struct {
	job
	client
}

func newOwnKeyWorker(j job) (task, error) {
	c, err := j.openWarm()
	if err != nil {
		return nil, err
	}
	return &ownKeyWorker{j, c}, nil
}

func (l *ownKeyWorker) close() { l.client.close() }

func (l *ownKeyWorker) run(start time.Time) *tally {
	tallies := make([]tally, l.Goroutines)
	handles := make([]handle, l.Goroutines)
	for i := range handles {
		handles[i] = l.handle(fmt.Sprintf("%s-%d", l.Key, i))
	}
	time.Sleep(time.Until(start))
	end := time.Now().Add(l.Duration)
	var wg sync.WaitGroup
	for i, h := range handles {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			l.loop(ctx, h, end, &tallies[i])
		})
	}
	wg.Wait()
	return merged(tallies)
}

// loop locks and unlocks until the end, and at least once. What counts as a wait is the time of both.
func (l *ownKeyWorker) loop(ctx context.Context, h handle, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	for now, first := time.Now(), true; first || now.Before(end); first = false {
		err := h.lock(ctx)
		locked := time.Now()
		if err == nil {
			err = h.unlock()
		}
		if err != nil {
			t.fail(err)
		}
		asked := now
		now = time.Now()
		t.waited(now.Sub(asked))
		t.Locks.add(locked.Sub(asked))
		t.Unlocks.add(now.Sub(locked))
		t.Holds[0]++
	}
}
