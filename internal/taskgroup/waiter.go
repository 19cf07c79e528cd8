package taskgroup

import (
	linkedlist "container/list"
	"context"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A waiter is one caller's wait for the end of a generation: the one that is current when it begins.
type waiter struct {
	opName         string
	tracer         *trace.Tracer // of failed requests
	neverCancelled bool          // its ctx never ends

	// Guarded by the mutex of watcher, which is set before the waiter can be seen.
	watcher       *watcher
	element       *linkedlist.Element // in the waiters of watcher
	number        int64               // in the order of arrival
	minPoll       int64               // only a poll with a higher number counts for it
	generation    int64               // that it waits for, 0 until it is known
	done          bool
	err           error
	ready         chan struct{} // closed when the wait is decided; nil with sink
	sink          result.Sink
	stopAfterFunc func() bool // stops the context.AfterFunc of the ctx; nil without sink
}

// Wait waits until the current generation of the group is finished, or until ctx ends.
func (s *Session) Wait(ctx context.Context, opName string) error {
	x := &waiter{opName: opName, ready: make(chan struct{})}
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
func (s *Session) WaitChan(ctx context.Context, opName string, sink result.Sink) {
	x := &waiter{opName: opName, sink: sink}
	if err := s.startWait(ctx, x); err != nil {
		sink.Send(err)
	}
}

func (s *Session) startWait(ctx context.Context, x *waiter) error {
	if ctx.Err() != nil {
		return retry.Wrap(x.opName, s.key, retry.CtxError(ctx))
	}
	x.tracer, x.neverCancelled = s.tracer(ctx), ctx.Done() == nil
	x.tracer.Flush()
	channel, err := s.manager.store.DoneChannel(s.key)
	if err != nil {
		return retry.Wrap(x.opName, s.key, retry.Permanent(err))
	}
	for !s.manager.watcherFor(s.key, channel).add(x) {
	}
	if x.sink != nil && ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { x.cancel(ctx) })
		x.watcher.mu.Lock()
		defer x.watcher.mu.Unlock()
		x.stopAfterFunc = stop
		if x.done {
			stop()
		}
	}
	return nil
}

// unboundWaiters are the waiters of a process for a group that do not know their
// generation yet when the process sends an operation.
type unboundWaiters struct {
	watcher     *watcher // nil if there are none
	after, last int64    // their numbers
}

// unbound returns the waiters for the group that do not know their generation.
func (s *Session) unbound() unboundWaiters {
	s.manager.mu.Lock()
	w := s.manager.watchers.Entries[s.key]
	s.manager.mu.Unlock()
	if w == nil {
		return unboundWaiters{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return unboundWaiters{w, w.lastBound, w.lastNumber}
}

// bind binds the waiters to the generation that the operation found. It was the current
// one, or the last one, after they had begun to wait. Their own poll may come too late: a
// process that waits and then sends operations may end that generation and begin another.
func (u unboundWaiters) bind(found int64) {
	w := u.watcher
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.each {
		switch {
		case x.number <= u.after:
			return
		case x.number > u.last, x.generation != 0 && x.generation <= found:
		case found == 0:
			x.finish(nil)
		default:
			x.bind(found)
			w.wake()
		}
	}
}

// bind sets the generation that x waits for. A poll that has begun does not ask for it. The watcher
// is locked.
func (x *waiter) bind(generation int64) {
	x.generation, x.minPoll = generation, x.watcher.polls
	x.watcher.lastBound = max(x.watcher.lastBound, x.number)
}

// cancel ends the wait for ctx.
func (x *waiter) cancel(ctx context.Context) error {
	x.watcher.mu.Lock()
	defer x.watcher.mu.Unlock()
	var redisErr error
	if !x.done {
		redisErr = x.watcher.lastErr
	}
	err := retry.WrapRedis(x.opName, x.watcher.key, retry.CtxError(ctx), redisErr)
	if !x.done {
		x.finish(err)
	}
	return err
}

// finish ends the wait, for the reason err if that is not nil. The watcher is locked.
func (x *waiter) finish(err error) {
	x.watcher.waiters.Remove(x.element)
	if err != nil {
		err = retry.Wrap(x.opName, x.watcher.key, err)
	}
	x.done, x.err = true, err
	if x.sink != nil {
		x.sink.Send(err)
	} else {
		close(x.ready)
	}
	if x.stopAfterFunc != nil {
		x.stopAfterFunc()
	}
}

// abandonedError returns the error of a generation that has lost so many tasks.
func abandonedError(tasks int64) error {
	if tasks == 0 {
		return nil
	}
	return &AbandonedError{int(tasks)}
}
