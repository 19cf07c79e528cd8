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

// heed runs get, and cancels its ctx at a signal that ends dlock. If get has acquired the lock
// nevertheless, the lock is released: the command would never receive that signal. A later signal
// is passed to the command.
func heed(signals <-chan os.Signal, get func(context.Context) (*hold, error)) (*hold, error) {
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
			if ends(s) && signalled == nil {
				signalled = fail(statusOf(s), "%v before the lock was had", s)
				cancel()
			}
		}
	}
}

// parting is how much longer dlock waits after the end of the wait, until the queue entry is
// removed from Redis. The library waits too, but not long enough for a busy machine.
const parting = 50 * time.Millisecond

// await acquires the lock, unless the time is over. Then it leaves nothing in Redis that others
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
		time.Sleep(parting)
	}
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, errDone):
		return nil, err
	case errors.Is(err, mutex.ErrLocked), errors.Is(err, semaphore.ErrNotAvailable):
		return nil, fail(c.NotAcquired, "%q is held, or others wait for it", c.Name)
	case errors.Is(err, context.DeadlineExceeded):
		// With an error of Redis' own it answers, and refuses: a replica, a full memory.
		if errors.As(err, new(redis.Error)) || answers(ctx, rdb) != nil {
			return nil, fail(exitUnavailable, "%w", err)
		}
		return nil, fail(c.NotAcquired, "%q was not acquired within %v", c.Name, c.Wait)
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return nil, fail(exitUsage, "%q is of another kind, as dlock inspect shows: %w", c.Name, err)
	case errors.Is(err, semaphore.ErrSizeMismatch), errors.Is(err, semaphore.ErrExceedsSize), strings.Contains(err.Error(), "library's own"):
		return nil, fail(exitUsage, "%w", err)
	}
	return nil, fail(exitUnavailable, "%w", err)
}
