package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A worker takes the lock again and again.
type worker struct {
	name
	mu     *mutex.Mutex
	hold   time.Duration                // on average
	inside *atomic.Pointer[mutex.Lease] // of the worker that holds the lock in this process, to check exclusion
	diary  *diary
	events chan<- event
}

// turn waits for three things at once: the lock, a timeout, and the end of the program.
func (w *worker) turn(ctx context.Context) error {
	// Leaving the select is not enough to stop waiting: cancel the ctx. A lock that was
	// not received is then released to the next waiter.
	wait, cancel := context.WithCancel(ctx)
	defer cancel()

	asked := w.tell(event{state: waiting})
	lock := w.mu.LockChan(wait)
	select {
	case r := <-lock:
		if r.Err != nil {
			return r.Err
		}
		return w.critical(ctx, r.Lease, asked)
	case <-time.After(w.patience()):
		w.tell(event{state: gaveUp, after: time.Since(asked)})
		return nil
	case <-ctx.Done():
		// The process is about to exit. Receiving the result makes sure that it leaves
		// no queue entry, and no lock, for others to wait for.
		if r := <-lock; r.Lease != nil {
			return r.Lease.Unlock()
		}
		return ctx.Err()
	}
}

// critical is the critical section.
func (w *worker) critical(ctx context.Context, lease *mutex.Lease, asked time.Time) error {
	received := time.Now()
	e := event{state: holding, at: received, after: received.Sub(asked), fence: lease.Fence()}
	// No other worker may be inside, except one that has lost its lease and is leaving.
	other := w.inside.Swap(lease)
	e.overlap = other != nil && other.Err() == nil
	e.handover, e.err = w.diary.arrive(lease, w.name, asked, received)
	w.tell(e)

	select {
	case <-time.After(w.about(w.hold)): // the work
	case <-ctx.Done(): // the program ends
	case <-lease.Done(): // lost: the work must stop, because another worker may be inside
	}

	w.inside.CompareAndSwap(lease, nil)
	w.tell(event{state: resting, after: time.Since(received)})
	noted := w.diary.leave(lease, w.name)
	err := lease.Unlock()
	if errors.Is(err, mutex.ErrLost) {
		w.tell(event{state: lost, after: time.Since(received)})
		return nil
	}
	if err = errors.Join(noted, err); err != nil {
		w.tell(event{state: resting, err: err})
	}
	return nil
}

// work takes turns until ctx is done, or until a permanent error.
func (w *worker) work(ctx context.Context) error {
	defer func() { w.tell(event{state: stopped}) }()
	for ctx.Err() == nil {
		// ErrLost: the lock was granted, and not received within its TTL. This process
		// was paused, by Ctrl-Z for example.
		err := w.turn(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, mutex.ErrLost) {
			return err
		}
		select {
		case <-time.After(w.about(w.hold)):
		case <-ctx.Done():
		}
	}
	return nil
}

// patience returns the timeout: usually long, sometimes short.
func (w *worker) patience() time.Duration {
	if rand.N(8) == 0 {
		return w.about(w.hold)
	}
	return 50 * w.hold
}

// about returns a time between 0.5 and 1.5 of mean.
func (w *worker) about(mean time.Duration) time.Duration { return mean/2 + rand.N(mean) }

// tell sends an event and returns its time.
func (w *worker) tell(e event) time.Time {
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.worker = w.n
	w.events <- e
	return e.at
}
