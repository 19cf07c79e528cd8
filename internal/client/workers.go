package client

import "sync/atomic"

// maxIdleWorkers is how many goroutines of a pool may wait for work at a time.
const maxIdleWorkers = 4

// A workerPool has the goroutines that call Redis for a client with a subscription: then other
// processes want the same keys, and calls are frequent. A call goes deep into the client, and the
// stack of a new goroutine would have to grow several times.
type workerPool struct {
	jobs   chan func()
	closed <-chan struct{} // closed when the idle goroutines must end
	idle   atomic.Int32
}

func newWorkerPool(closed <-chan struct{}) *workerPool {
	return &workerPool{jobs: make(chan func()), closed: closed}
}

// submit makes an idle worker call f, or a new one if none is idle.
func (p *workerPool) submit(f func()) {
	select {
	case p.jobs <- f:
	default:
		go p.work(f)
	}
}

func (p *workerPool) work(f func()) {
	for f != nil {
		f()
		f = p.nextJob()
	}
}

// nextJob waits for work. It returns nil if the worker must end.
func (p *workerPool) nextJob() func() {
	defer p.idle.Add(-1)
	if p.idle.Add(1) > maxIdleWorkers {
		return nil
	}
	select {
	case f := <-p.jobs:
		return f
	case <-p.closed:
		return nil
	}
}

// Async calls f on another goroutine.
func (c *Client) Async(f func()) {
	if pool := c.workers.Load(); pool != nil {
		pool.submit(f)
	} else {
		go f()
	}
}
