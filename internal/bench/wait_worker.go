package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A waitWorker is a process in which many wait for one key, which it does not get.
type waitWorker struct {
	job
	client baton
}

func newWaitWorker(j job) (task, error) {
	c := newBaton(j.Addr, j.TTL)
	return &waitWorker{job: j, client: c}, warm(c, "warm")
}

func (c *waitWorker) close() { c.client.close() }

// run has them wait, and says what memory that takes: heap and stacks in use
// after a collection.
func (c *waitWorker) run(start time.Time) *tally {
	time.Sleep(time.Until(start))
	m := c.client.mutex(c.Key)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	never := make(chan struct{})
	results := make([]<-chan mutex.Result, c.Goroutines)
	before, goroutines, began := inUse(), runtime.NumGoroutine(), time.Now()
	for i := range c.Goroutines {
		switch c.System {
		case "receive":
			go func() { <-never }()
		case "LockContext":
			go func() { _, _ = m.LockContext(ctx) }()
		case "LockChan":
			results[i] = m.LockChan(ctx)
		}
	}
	settle()
	took := time.Since(began)
	n := float64(c.Goroutines)
	t := new(tally)
	t.figure("bytes", float64(inUse()-before)/n)
	t.figure("goroutines", float64(runtime.NumGoroutine()-goroutines)/n)
	t.figure("seconds", took.Seconds())
	runtime.KeepAlive(results)
	return t
}

// inUse has the collector run until it also has shrunk the stacks that it can.
func inUse() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// settle waits until, for a while, nobody has had anything to do any more.
func settle() {
	states := []metrics.Sample{
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/running:goroutines"},
	}
	for calm := 0; calm < 5; calm++ {
		time.Sleep(20 * time.Millisecond)
		metrics.Read(states)
		if states[0].Value.Uint64()+states[1].Value.Uint64() > 1 {
			calm = 0
		}
	}
}
