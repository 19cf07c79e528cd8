package client

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed, gate := make(chan struct{}), make(chan struct{})
		p := newWorkerPool(closed)
		var called atomic.Int32
		expect := func(when string, calls, idle int32) {
			t.Helper()
			if synctest.Wait(); called.Load() != calls || p.idle.Load() != idle {
				t.Errorf("%s: %d calls and %d idle, want %d and %d", when, called.Load(), p.idle.Load(), calls, idle)
			}
		}
		for range 3 * maxIdleWorkers {
			p.submit(func() {
				called.Add(1)
				<-gate
			})
		}
		expect("all at once", 3*maxIdleWorkers, 0)
		close(gate)
		expect("after they returned", 3*maxIdleWorkers, maxIdleWorkers)
		p.submit(func() { called.Add(1) })
		expect("one more", 3*maxIdleWorkers+1, maxIdleWorkers)
		close(closed)
		expect("after close", 3*maxIdleWorkers+1, 0)
		p.submit(func() { called.Add(1) })
		expect("one more after close", 3*maxIdleWorkers+2, 0)
	})
}
