package retry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// CancelTimeout is how long a call whose ctx has ended waits until its place in the queue is
	// given up.
	CancelTimeout = 5 * time.Millisecond
	// MaxCancelTimeout is how long it waits while Redis answers other calls that were given up.
	MaxCancelTimeout = 100 * time.Millisecond
	// MaxResultTimeout is how long a result in a channel waits then.
	MaxResultTimeout = time.Second
)

// A Backlog holds failed calls that give something up in Redis. It repeats them one after the other
// until they succeed. It needs one goroutine for all calls, and none while it is empty.
type Backlog struct {
	answered atomic.Int64 // calls and releases that Redis has answered

	mu    sync.Mutex
	calls []backlogCall
}

// Answered notes that Redis has answered a call or a release.
func (b *Backlog) Answered() { b.answered.Add(1) }

// Briefly calls f, which gives something up in Redis, and waits for it as WaitBriefly does.
func (b *Backlog) Briefly(f func(), limit time.Duration) {
	confirmed := make(chan struct{})
	go func() {
		defer close(confirmed)
		f()
	}()
	b.WaitBriefly(confirmed, limit)
}

// WaitBriefly waits until done is closed, so that a program may exit at once and leave nothing
// behind. It does not wait for a Redis that does not answer. But once Redis has answered something
// meanwhile, WaitBriefly waits until that was MaxCancelTimeout ago. It also waits while the process
// itself is late: of thousands that give up at once, most wait for a processor. It never waits longer
// than limit. Of 20 runs that gave up 3,000 keys at once and exited, on two cores with five busy
// threads, 19 left no entry and one left 1,141.
func (b *Backlog) WaitBriefly(confirmed <-chan struct{}, limit time.Duration) {
	now := time.Now()
	end, last := now, now.Add(limit)
	timer := time.NewTimer(CancelTimeout)
	defer timer.Stop()
	for seen := b.answered.Load(); ; {
		due := now.Add(CancelTimeout)
		select {
		case <-confirmed:
			return
		case <-timer.C:
		}
		now = time.Now()
		late, answered := now.Sub(due) > CancelTimeout/5, b.answered.Load()
		if answered != seen {
			seen, end = answered, now.Add(MaxCancelTimeout)
		}
		if !now.Before(last) || !now.Before(end) && !late {
			return
		}
		timer.Reset(CancelTimeout)
	}
}

type backlogCall struct {
	ctx   context.Context // for its values; it may have ended
	do    func(context.Context) error
	until time.Time // when the call is dropped
	done  func()    // called when the call has succeeded, or is dropped
}

// Try calls do with the values of ctx, and waits for it as WaitBriefly does. If do fails it is called
// again until it succeeds, fails permanently, or until passes. Then done is called.
func (b *Backlog) Try(ctx context.Context, do func(context.Context) error, until time.Time, done func()) {
	c := backlogCall{ctx, do, until, done}
	b.Briefly(func() {
		if b.attempt(c) {
			c.done()
		} else {
			b.add(c)
		}
	}, MaxCancelTimeout)
}

// add adds a call to repeat.
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
	backOff := NewBackoff(10*time.Millisecond, 0.5)
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
		b.calls = b.calls[1:]
		if !ended {
			b.calls = append(b.calls, c)
		}
	}
	b.calls = nil
}

// attempt makes a call, unless its time has passed, and reports whether the call is finished.
func (b *Backlog) attempt(c backlogCall) bool {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(c.ctx), c.until)
	defer cancel()
	if ctx.Err() != nil {
		return true
	}
	err := c.do(ctx)
	if err == nil {
		b.Answered()
	}
	return err == nil || IsPermanent(err)
}
