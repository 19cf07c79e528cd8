package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// A holdWorker is a process that holds keys from before its start to its end.
type holdWorker struct {
	job
	client
	handles []handle
}

// abreast is how many keys are locked at once.
const abreast = 64

// newHoldWorker locks the keys. If the job has a Hold it does so one by one, with
// that pause, so that they do not all expire at the same time.
func newHoldWorker(j job) (task, error) {
	c, err := j.openWarm()
	if err != nil {
		return nil, err
	}
	h := &holdWorker{job: j, client: c}
	var g errgroup.Group
	g.SetLimit(abreast)
	if j.Hold > 0 {
		g.SetLimit(1)
	}
	for i := range j.Keys {
		one := c.handle(keyOf(j.Key, i))
		h.handles = append(h.handles, one)
		g.Go(func() error {
			time.Sleep(j.Hold)
			return one.lock(context.Background())
		})
	}
	if err := g.Wait(); err != nil {
		c.close()
		return nil, err
	}
	return h, nil
}

func keyOf(key string, i int) string { return fmt.Sprintf("%s-%d", key, i) }

func (h *holdWorker) close() {} // the holds end with the process

// run only lasts: what counts is what holding costs meanwhile.
func (h *holdWorker) run(start time.Time) *tally {
	time.Sleep(time.Until(start) + h.Duration)
	return new(tally)
}
