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

// heed runs get, and cancels its ctx at a signal that ends dlock. What get has got in spite of
// that is given back: the signal has been taken here, and would never reach the command.
// A signal that comes later is left for the command.
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

// parting is what an end of the wait takes longer, so that Redis is told of it. The library
// does so on its own, but ours is the process, and a busy machine is not that quick.
const parting = 50 * time.Millisecond

// await acquires the lock, unless the time is over. Then nothing is left in Redis for which
// others would wait.
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
		return nil, fail(c.NotAcquired, "%q was not to be had in %v", c.Name, c.Wait)
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return nil, fail(exitUsage, "%q is of another kind, as dlock inspect shows: %w", c.Name, err)
	case errors.Is(err, semaphore.ErrSizeMismatch), errors.Is(err, semaphore.ErrExceedsSize), strings.Contains(err.Error(), "library's own"):
		return nil, fail(exitUsage, "%w", err)
	}
	return nil, fail(exitUnavailable, "%w", err)
}
