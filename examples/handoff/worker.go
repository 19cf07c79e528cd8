package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A worker acquires and releases the lock repeatedly.
type worker struct {
	name
	mu     *mutex.Mutex
	hold   time.Duration                // average
	inside *atomic.Pointer[mutex.Lease] // lease of the current holder in this process, to check exclusion
	diary  *diary
	events chan<- event
}

// attempt waits for three events at once: the lock, a timeout, and the end of the program.
func (w *worker) attempt(ctx context.Context) error {
	// Leaving the select does not end the wait: cancel the ctx. A lock that was not received
	// is then released to the next waiter.
	wait, cancel := context.WithCancel(ctx)
	defer cancel()

	requested := w.emit(event{state: waiting})
	lock := w.mu.LockChan(wait)
	select {
	case r := <-lock:
		if r.Err != nil {
			return r.Err
		}
		return w.critical(ctx, r.Lease, requested)
	case <-time.After(w.timeout()):
		w.emit(event{state: gaveUp, after: time.Since(requested)})
		return nil
	case <-ctx.Done():
		// The process is about to exit. Receiving the result ensures that it leaves no queue
		// entry and no lock in Redis.
		if r := <-lock; r.Lease != nil {
			return r.Lease.Unlock()
		}
		return ctx.Err()
	}
}

// critical is the critical section.
func (w *worker) critical(ctx context.Context, lease *mutex.Lease, requested time.Time) error {
	received := time.Now()
	e := event{state: holding, at: received, after: received.Sub(requested), fence: lease.Fence()}
	// No other worker may be inside, except after the loss of its lease.
	other := w.inside.Swap(lease)
	e.overlap = other != nil && other.Err() == nil
	e.handover, e.err = w.diary.arrive(lease, w.name, requested, received)
	w.emit(e)

	select {
	case <-time.After(w.jitter(w.hold)): // the work
	case <-ctx.Done(): // the program ends
	case <-lease.Done(): // lost: stop the work, because another worker may hold the lock
	}

	w.inside.CompareAndSwap(lease, nil)
	w.emit(event{state: resting, after: time.Since(received)})
	noted := w.diary.leave(lease, w.name)
	err := lease.Unlock()
	if errors.Is(err, mutex.ErrLost) {
		w.emit(event{state: lost, after: time.Since(received)})
		return nil
	}
	if err = errors.Join(noted, err); err != nil {
		w.emit(event{state: resting, err: err})
	}
	return nil
}

// work repeats attempt until ctx is done, or until a permanent error.
func (w *worker) work(ctx context.Context) error {
	defer func() { w.emit(event{state: stopped}) }()
	for ctx.Err() == nil {
		// ErrLost means that the granted lock was not received within its TTL, because this
		// process was paused, for example by Ctrl-Z.
		err := w.attempt(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, mutex.ErrLost) {
			return err
		}
		select {
		case <-time.After(w.jitter(w.hold)):
		case <-ctx.Done():
		}
	}
	return nil
}

// timeout returns a wait limit: usually long, sometimes short.
func (w *worker) timeout() time.Duration {
	if rand.N(8) == 0 {
		return w.jitter(w.hold)
	}
	return 50 * w.hold
}

// jitter returns a random time between 0.5 and 1.5 times mean.
func (w *worker) jitter(mean time.Duration) time.Duration { return mean/2 + rand.N(mean) }

// emit sends an event and returns its time.
func (w *worker) emit(e event) time.Time {
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.worker = w.n
	w.events <- e
	return e.at
}
