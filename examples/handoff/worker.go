package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A worker wants the lock again and again.
type worker struct {
	name
	mu     *mutex.Mutex
	hold   time.Duration                // on average
	inside *atomic.Pointer[mutex.Lease] // of who is inside in this process, to see that the lock excludes
	diary  *diary
	events chan<- event
}

// turn waits for three things at once: the lock, the end of its patience, and
// the end of the program.
func (w *worker) turn(ctx context.Context) error {
	// To leave the select is not enough to stop waiting: end the ctx. The lock is
	// then either in the hand of who received it, or given back to the next in
	// line. It cannot get lost in between.
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
		// Only because the process is about to exit: until the Result is here, the
		// place in the queue may not have been given up. It can still be a lease.
		if r := <-lock; r.Lease != nil {
			return r.Lease.Unlock()
		}
		return ctx.Err()
	}
}

// critical is the critical section: the lock is held until it returns.
func (w *worker) critical(ctx context.Context, lease *mutex.Lease, asked time.Time) error {
	received := time.Now()
	e := event{state: holding, at: received, after: received.Sub(asked), fence: lease.Fence()}
	// Nobody else may be inside, but for one that has lost its lease and is on its
	// way out.
	other := w.inside.Swap(lease)
	e.overlap = other != nil && other.Err() == nil
	e.handover, e.err = w.diary.arrive(lease, w.name, asked, received)
	w.tell(e)

	select {
	case <-time.After(w.about(w.hold)): // the work
	case <-ctx.Done(): // the program ends, so does the work
	case <-lease.Done(): // lost: the work must stop, another may be inside from now on
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

// work takes turns until ctx ends, or until the lock cannot be had at all.
func (w *worker) work(ctx context.Context) error {
	defer func() { w.tell(event{state: stopped}) }()
	for ctx.Err() == nil {
		// ErrLost: the lock was granted, and not received for as long as its TTL.
		// This process must have been stopped, by Ctrl-Z for example.
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

// patience is long, but now and then a worker is in a hurry.
func (w *worker) patience() time.Duration {
	if rand.N(8) == 0 {
		return w.about(w.hold)
	}
	return 50 * w.hold
}

// about returns a time between 0.5 and 1.5 of mean.
func (w *worker) about(mean time.Duration) time.Duration { return mean/2 + rand.N(mean) }

// tell shows what the worker does, and returns when.
func (w *worker) tell(e event) time.Time {
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.worker = w.n
	w.events <- e
	return e.at
}
