package main

import (
	"context"
	"time"
)

// A visitWorker is a process that locks a key once in a while. With others, the first process
// locks it again and again instead.
type visitWorker struct {
	job
	client
	loops bool
}

func newVisitWorker(j job) (task, error) {
	c, err := j.openWarm()
	return &visitWorker{j, c, false}, err
}

func newForeignWorker(j job) (task, error) {
	c, err := j.openWarm()
	return &visitWorker{j, c, j.Index == 0}, err
}

func (w *visitWorker) close() { w.client.close() }

func (w *visitWorker) run(start time.Time) *tally {
	t := &tally{Holds: make([]int64, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := w.handle(w.Key)
	time.Sleep(time.Until(start))
	end := start.Add(w.Duration)
	if w.loops {
		for time.Now().Before(end) {
			t.once(ctx, h)
			t.Holds[0]++
		}
		return t
	}
	tick := time.NewTicker(visitPeriod)
	defer tick.Stop()
	for time.Now().Before(end.Add(-2 * visitPeriod)) { // a process that ends while it lingers keeps the lock
		<-tick.C
		t.waited(t.once(ctx, h))
	}
	return t
}

// once locks and unlocks, and returns how long it waited for the lock.
func (t *tally) once(ctx context.Context, h handle) (wait time.Duration) {
	asked := time.Now()
	err := h.lock(ctx)
	wait = time.Since(asked)
	if err == nil {
		err = h.unlock()
	}
	if err != nil {
		t.fail(err)
	}
	return wait
}

// A pingpongWorker is two clients that lock a key in turn. To the library they are two processes.
type pingpongWorker struct {
	job
	clients [2]client
}

func newPingpongWorker(j job) (task, error) {
	w := &pingpongWorker{job: j}
	for i := range w.clients {
		c, err := j.openWarm()
		if err != nil {
			return nil, err
		}
		w.clients[i] = c
	}
	return w, nil
}

func (w *pingpongWorker) close() {
	for _, c := range w.clients {
		c.close()
	}
}

func (w *pingpongWorker) run(start time.Time) *tally {
	t := &tally{Holds: make([]int64, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	handles := [2]handle{w.clients[0].handle(w.Key), w.clients[1].handle(w.Key)}
	time.Sleep(time.Until(start))
	for end := start.Add(w.Duration); time.Now().Before(end); {
		for _, h := range handles {
			t.waited(t.once(ctx, h))
			t.Holds[0]++
		}
	}
	return t
}
