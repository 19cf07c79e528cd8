package lease

import (
	"context"
	"slices"
	"time"
)

// A groupWaiter is one caller's wait for the end of a generation: of that which goes on when
// it begins.
type groupWaiter struct {
	opName         string
	tracer         *tracer // of what goes wrong
	neverCancelled bool    // its ctx never ends

	// Guarded by the mutex of watch, which is set before the Wait can be seen.
	watcher       *groupWatcher
	prev, next    *groupWaiter
	minPoll       int64 // only a look that begins after so many counts for it
	generation    int64 // that it waits for, 0 until it is known
	done          bool
	err           error
	ready         chan struct{} // closed when it is over; nil with sink
	sink          Sink
	stopAfterFunc func() bool // ends the watch over the ctx of sink
}

// Wait waits until the generation is over that goes on at the group, or until ctx ends.
func (s *Session) Wait(ctx context.Context, opName string) error {
	x := &groupWaiter{opName: opName, ready: make(chan struct{})}
	if err := s.startWait(ctx, x); err != nil {
		return err
	}
	select {
	case <-x.ready:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return x.cancel(ctx)
	}
	return x.err
}

// WaitChan is like Wait, but returns at once and puts the result into sink.
func (s *Session) WaitChan(ctx context.Context, opName string, sink Sink) {
	x := &groupWaiter{opName: opName, sink: sink}
	if err := s.startWait(ctx, x); err != nil {
		sink.Send(err)
	}
}

func (s *Session) startWait(ctx context.Context, x *groupWaiter) error {
	if ctx.Err() != nil {
		return &opError{x.opName, s.key, ctxError(ctx), nil}
	}
	x.tracer, x.neverCancelled = s.tracer(ctx), ctx.Done() == nil
	x.tracer.flush()
	channel, err := s.manager.groupStore().DoneChannel(s.key)
	if err != nil {
		return &opError{x.opName, s.key, Permanent(err), nil}
	}
	for !s.manager.watcherFor(s.key, channel).add(x) {
	}
	if x.sink != nil && ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { x.cancel(ctx) })
		x.watcher.mu.Lock()
		defer x.watcher.mu.Unlock()
		if x.stopAfterFunc = stop; x.done {
			stop()
		}
	}
	return nil
}

// bindBarrier is one who holds a change back until the answer to a look is there.
type bindBarrier struct {
	poll int64 // or one after it
	done chan struct{}
}

// awaitBinding waits until those know their generation who wait here for the group already.
// Who waits and then makes a change, which may end that generation and begin another, would
// else look at the wrong one. While Redis does not answer a look, what is to be
// counted is not held up for longer than a moment. It returns what Redis last failed with.
func (s *Session) awaitBinding(ctx context.Context) (redis error) {
	s.manager.mu.Lock()
	w := s.manager.watchers.Entries[s.key]
	s.manager.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	if w.tail == nil || w.tail.generation != 0 { // the last who came knows its generation, and so do all
		w.mu.Unlock()
		return nil
	}
	x := bindBarrier{w.tail.minPoll + 1, make(chan struct{})}
	w.barriers = append(w.barriers, x)
	w.mu.Unlock()
	timer := time.NewTimer(subscribeTimeout)
	defer timer.Stop()
	select {
	case <-x.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastErr
}

// releaseBindings lets those go on who have waited for that look. The watch is locked.
func (w *groupWatcher) releaseBindings(poll int64) {
	w.barriers = slices.DeleteFunc(w.barriers, func(x bindBarrier) bool {
		if x.poll <= poll {
			close(x.done)
		}
		return x.poll <= poll
	})
}

// cancel ends the wait for ctx.
func (x *groupWaiter) cancel(ctx context.Context) error {
	x.watcher.mu.Lock()
	defer x.watcher.mu.Unlock()
	err := &opError{x.opName, x.watcher.key, ctxError(ctx), nil}
	if !x.done {
		err.redisErr = x.watcher.lastErr
		x.finish(err)
	}
	return err
}

// finish ends the wait, for the reason err if that is not nil. The watch is locked.
func (x *groupWaiter) finish(err error) {
	x.watcher.remove(x)
	if _, wrapped := err.(*opError); err != nil && !wrapped {
		err = &opError{x.opName, x.watcher.key, err, nil}
	}
	if x.done, x.err = true, err; x.sink != nil {
		x.sink.Send(err)
	} else {
		close(x.ready)
	}
	if x.stopAfterFunc != nil {
		x.stopAfterFunc()
	}
}

// abandonedError is what a generation ends with that has lost so many tasks.
func abandonedError(tasks int64) error {
	if tasks == 0 {
		return nil
	}
	return &AbandonedError{int(tasks)}
}
