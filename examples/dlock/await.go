package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// cancelOnSignal runs get, and cancels its ctx at a signal that ends dlock. If get acquires the lock
// nevertheless, the lock is released, because the command would never receive that signal. Signals
// that arrive later are passed to the command.
func cancelOnSignal(signals <-chan os.Signal, get func(context.Context) (*hold, error)) (*hold, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		*hold
		err error
	}
	got := make(chan result, 1)
	go func() {
		h, err := get(ctx)
		got <- result{h, err}
	}()
	var signalled error
	for {
		select {
		case r := <-got:
			if signalled == nil {
				return r.hold, r.err
			}
			if r.hold != nil {
				release(r.hold, exitCannotRun, signals)
			}
			return nil, signalled
		case s := <-signals:
			if terminates(s) && signalled == nil {
				signalled = fail(statusOf(s), "received signal %q before the lock was acquired", s)
				cancel()
			}
		}
	}
}

// dequeueDelay is how long dlock waits for its queue entry to be removed from Redis, after the wait
// for the lock has ended. The library also waits, but not long enough on a busy machine.
const dequeueDelay = 50 * time.Millisecond

// await acquires the lock within -w. If it fails, it leaves nothing in Redis that other processes
// would wait for.
func await(ctx context.Context, rdb *redis.Client, c config) (*hold, error) {
	wait := ctx
	if c.Wait > 0 {
		var stop context.CancelFunc
		wait, stop = context.WithTimeout(ctx, c.Wait)
		defer stop()
	}
	h, err := acquire(wait, rdb, c)
	if wait.Err() != nil {
		time.Sleep(dequeueDelay)
	}
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, errDone):
		return nil, err
	case errors.Is(err, mutex.ErrLocked), errors.Is(err, semaphore.ErrNotAvailable):
		return nil, fail(c.NotAcquired, "%q is held or has waiters", c.Name)
	case errors.Is(err, context.DeadlineExceeded):
		// An error reply means that Redis refuses, for example as a replica or because its memory is full.
		if errors.As(err, new(redis.Error)) || answers(ctx, rdb) != nil {
			return nil, fail(exitUnavailable, "%w", err)
		}
		return nil, fail(c.NotAcquired, "%q was not acquired within %v", c.Name, c.Wait)
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return nil, fail(exitUsage, "%q has another kind, see dlock inspect: %w", c.Name, err)
	case errors.Is(err, semaphore.ErrSizeMismatch), errors.Is(err, semaphore.ErrExceedsSize), strings.Contains(err.Error(), "library's own"):
		return nil, fail(exitUsage, "%w", err)
	}
	return nil, fail(exitUnavailable, "%w", err)
}
