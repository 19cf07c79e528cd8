package lease

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Backlog is what Redis has yet to hear of that was given up. It repeats the calls
// that have failed until they succeed, one after the other, so that it needs one
// goroutine, however many there are, and none when it is empty.
type Backlog struct {
	answered atomic.Int64 // calls and releases that Redis has answered

	mu    sync.Mutex
	calls []backlogCall
}

// runBriefly has f tell Redis that something was given up, and waits for that as moment does.
func (b *Backlog) runBriefly(f func()) {
	confirmed := make(chan struct{})
	go func() {
		defer close(confirmed)
		f()
	}()
	b.waitBriefly(confirmed)
}

// waitBriefly waits until Redis has been told that something was given up, so that a program
// may exit at once thereafter and leave nothing behind. It does not wait for a Redis
// that does not answer. But it waits while Redis answers what was given up besides.
func (b *Backlog) waitBriefly(confirmed <-chan struct{}) {
	end := time.Now().Add(maxCancelTimeout)
	timer := time.NewTimer(cancelTimeout)
	defer timer.Stop()
	for seen := b.answered.Load(); ; {
		select {
		case <-confirmed:
			return
		case <-timer.C:
		}
		last := seen
		if seen = b.answered.Load(); seen == last || !time.Now().Before(end) {
			return
		}
		timer.Reset(cancelTimeout)
	}
}

type backlogCall struct {
	ctx   context.Context // whose values it has; that it has ended does not matter
	do    func(context.Context) error
	until time.Time // then it is given up
	done  func()    // is called when it has succeeded, or is given up
}

// try makes a call, and waits for it as moment does.
func (b *Backlog) try(c backlogCall) {
	b.runBriefly(func() {
		if b.attempt(c) {
			c.done()
		} else {
			b.add(c)
		}
	})
}

// add has a call repeated.
func (b *Backlog) add(c backlogCall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls = append(b.calls, c); len(b.calls) == 1 {
		go b.run()
	}
}

// run repeats the calls in turn. It pauses after each failure, as the next would mostly
// fail for the same reason.
func (b *Backlog) run() {
	backOff := newBackoff(10*time.Millisecond, 0.5)
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.calls) > 0 {
		c := b.calls[0]
		b.mu.Unlock()
		ended := b.attempt(c)
		if ended {
			c.done()
			backOff.Reset()
		} else {
			time.Sleep(min(backOff.NextBackOff(), time.Until(c.until)))
		}
		b.mu.Lock()
		if b.calls = b.calls[1:]; !ended {
			b.calls = append(b.calls, c)
		}
	}
	b.calls = nil
}

// attempt makes a call, unless its time has passed, and reports whether nothing is left to
// be done for it.
func (b *Backlog) attempt(c backlogCall) bool {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(c.ctx), c.until)
	defer cancel()
	if ctx.Err() != nil {
		return true
	}
	err := c.do(ctx)
	if err == nil {
		b.answered.Add(1)
	}
	return err == nil || IsPermanent(err)
}
