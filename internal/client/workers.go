package client

import "sync/atomic"

// maxIdleWorkers is how many goroutines of a pool may wait for work at a time.
const maxIdleWorkers = 4

// A workerPool has the goroutines that call Redis for a client that receives messages: while there is
// a subscription, others want the same keys, and there is much to call for. A call
// goes deep into the client, and a new goroutine's stack would have to grow for it several times.
type workerPool struct {
	jobs   chan func()
	closed <-chan struct{} // closed when the idle goroutines must end
	idle   atomic.Int32
}

func newWorkerPool(closed <-chan struct{}) *workerPool {
	return &workerPool{jobs: make(chan func()), closed: closed}
}

// submit has a member of the workers call f, a new one if none is at hand.
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

// nextJob waits for work, and returns nil if a member is to go.
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

// Async calls f in another goroutine: it may take as long as Redis likes.
func (c *Client) Async(f func()) {
	if pool := c.workers.Load(); pool != nil {
		pool.submit(f)
	} else {
		go f()
	}
}
