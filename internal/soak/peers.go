package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// waiting returns the function of a system for a function that has no choices: it waits.
func waiting(acquire func(ctx context.Context, key string) (handle, error)) func(key string) acquireFunc {
	return func(key string) acquireFunc {
		return func(ctx context.Context, _ lockRequest) (handle, error) { return acquire(ctx, key) }
	}
}

// retry is the peers' delay between tries.
const retry = 10 * time.Millisecond

// errNotHeld replaces a peer's error for a lock that is not held.
var errNotHeld = errors.New("not held")

// until returns the err function of a lease that ends at a time and is not renewed.
func until(end time.Time) func() error {
	return func() error {
		if time.Now().Before(end) {
			return nil
		}
		return errNotHeld
	}
}

func openRedislock(w *worker) func(key string) acquireFunc {
	c := redislock.New(w.rdb)
	return waiting(func(ctx context.Context, key string) (handle, error) {
		for {
			requested := time.Now()
			l, err := c.Obtain(ctx, key, w.plan.TTL, &redislock.Options{RetryStrategy: redislock.LinearBackoff(retry)})
			// With a ctx without a deadline, Obtain waits for one TTL.
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				continue
			}
			return handle{nil, until(requested.Add(w.plan.TTL)), func() error {
				err := l.Release(context.Background())
				if errors.Is(err, redislock.ErrLockNotHeld) {
					return errNotHeld
				}
				return err
			}}, err
		}
	})
}

// openRedsync uses redsync with one pool.
func openRedsync(w *worker) func(key string) acquireFunc {
	rs := redsync.New(goredis.NewPool(w.rdb))
	return waiting(func(ctx context.Context, key string) (handle, error) {
		m := rs.NewMutex(key, redsync.WithExpiry(w.plan.TTL), redsync.WithTries(math.MaxInt), redsync.WithRetryDelay(retry))
		err := m.LockContext(ctx)
		return handle{nil, until(m.Until()), func() error {
			held, err := m.Unlock()
			var taken *redsync.ErrTaken
			if errors.As(err, &taken) || errors.Is(err, redsync.ErrLockAlreadyExpired) || err == nil && !held {
				return errNotHeld
			}
			return err
		}}, err
	})
}

// openRueidislock uses rueidislock. A hold is valid until rueidislock cancels the hold's ctx.
func openRueidislock(w *worker) func(key string) acquireFunc {
	l := must(rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: w.plan.TTL, TryNextAfter: 100 * time.Millisecond,
		ClientOption: rueidis.ClientOption{InitAddress: []string{w.plan.Via[w.plan.Servers[0]]}, ClientSetInfo: rueidis.DisableClientSetInfo},
	}))
	return waiting(func(ctx context.Context, key string) (handle, error) {
		// The deadline of the wait's ctx would also end the hold.
		own, stop := context.WithCancel(context.Background())
		waits := context.AfterFunc(ctx, stop)
		held, release, err := l.WithContext(own, "soak:"+key)
		if !waits() && err == nil {
			release()
			err = context.Cause(ctx)
		}
		if err != nil {
			stop()
			return handle{}, cmp.Or(context.Cause(ctx), err)
		}
		return handle{nil, held.Err, func() error {
			defer stop()
			release()
			return nil
		}}, nil
	})
}
