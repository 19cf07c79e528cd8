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

// awhile has f tell Redis that something was given up, and waits for that as moment does.
func (b *Backlog) awhile(f func()) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		f()
	}()
	b.moment(told)
}

// moment waits until Redis has been told that something was given up, so that a program
// may exit at once thereafter and leave nothing behind. It does not wait for a Redis
// that does not answer. But it waits while Redis answers what was given up besides.
func (b *Backlog) moment(told <-chan struct{}) {
	end := time.Now().Add(maxCourtesy)
	timer := time.NewTimer(courtesy)
	defer timer.Stop()
	for seen := b.answered.Load(); ; {
		select {
		case <-told:
			return
		case <-timer.C:
		}
		last := seen
		if seen = b.answered.Load(); seen == last || !time.Now().Before(end) {
			return
		}
		timer.Reset(courtesy)
	}
}

type backlogCall struct {
	ctx   context.Context // whose values it has; that it has ended does not matter
	do    func(context.Context) error
	until time.Time // then it is given up
	end   func()    // is called when it has succeeded, or is given up
}

// tell makes a call, and waits for it as moment does.
func (b *Backlog) tell(c backlogCall) {
	b.awhile(func() {
		if b.over(c) {
			c.end()
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
	pause := newBackoff(10*time.Millisecond, 0.5)
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.calls) > 0 {
		c := b.calls[0]
		b.mu.Unlock()
		over := b.over(c)
		if over {
			c.end()
			pause.Reset()
		} else {
			time.Sleep(min(pause.NextBackOff(), time.Until(c.until)))
		}
		b.mu.Lock()
		if b.calls = b.calls[1:]; !over {
			b.calls = append(b.calls, c)
		}
	}
	b.calls = nil
}

// over makes a call, unless its time has passed, and reports whether nothing is left to
// be done for it.
func (b *Backlog) over(c backlogCall) bool {
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
