package main

import (
	"sync/atomic"
	"time"
)

// A stall measures for how long the machine did not let this process run, by a ticker's
// being late: the workers have most likely fared no better.
type stall struct {
	sum  atomic.Int64
	done chan struct{}
	over chan struct{}
}

const tick = 20 * time.Millisecond

func newStall() *stall {
	s := &stall{done: make(chan struct{}), over: make(chan struct{})}
	go s.run()
	return s
}

func (s *stall) run() {
	defer close(s.over)
	for last := time.Now(); ; {
		select {
		case <-s.done:
			return
		case <-time.After(tick):
		}
		if late := time.Since(last) - tick; late > tick {
			s.sum.Add(int64(late))
		}
		last = time.Now()
	}
}

func (s *stall) total() time.Duration { return time.Duration(s.sum.Load()) }

func (s *stall) stop() {
	close(s.done)
	<-s.over
}
