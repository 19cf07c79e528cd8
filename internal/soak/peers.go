package main

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

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

// redislockClient uses bsm/redislock.
type redislockClient struct {
	rdb redis.UniversalClient
	ttl time.Duration
}

func openRedislock(p *plan) lockClient { return redislockClient{p.client(), p.TTL} }

func (b redislockClient) close() { _ = b.rdb.Close() }

func (b redislockClient) request(key string) acquireFunc {
	c := redislock.New(b.rdb)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		for {
			requested := time.Now()
			l, err := c.Obtain(ctx, key, b.ttl, &redislock.Options{RetryStrategy: redislock.LinearBackoff(retry)})
			// With a ctx without a deadline, Obtain waits for one TTL.
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				continue
			}
			if err != nil {
				return handle{}, err
			}
			return handle{nil, until(requested.Add(b.ttl)), func() error {
				err := l.Release(context.Background())
				if errors.Is(err, redislock.ErrLockNotHeld) {
					return errNotHeld
				}
				return err
			}}, nil
		}
	}
}

// redsyncClient uses redsync with one pool.
type redsyncClient struct {
	rdb redis.UniversalClient
	rs  *redsync.Redsync
	ttl time.Duration
}

func openRedsync(p *plan) lockClient {
	rdb := p.client()
	return redsyncClient{rdb, redsync.New(goredis.NewPool(rdb)), p.TTL}
}

func (r redsyncClient) close() { _ = r.rdb.Close() }

func (r redsyncClient) request(key string) acquireFunc {
	return func(ctx context.Context, w lockRequest) (handle, error) {
		m := r.rs.NewMutex(key, redsync.WithExpiry(r.ttl), redsync.WithTries(math.MaxInt), redsync.WithRetryDelay(retry))
		if err := m.LockContext(ctx); err != nil {
			return handle{}, err
		}
		return handle{nil, until(m.Until()), func() error {
			held, err := m.Unlock()
			var taken *redsync.ErrTaken
			if errors.As(err, &taken) || errors.Is(err, redsync.ErrLockAlreadyExpired) || err == nil && !held {
				return errNotHeld
			}
			return err
		}}, nil
	}
}

// rueidisClient uses rueidislock. A hold is valid until rueidislock cancels the hold's ctx.
type rueidisClient struct{ l rueidislock.Locker }

func openRueidislock(p *plan) lockClient {
	return rueidisClient{must(rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: p.TTL, TryNextAfter: 100 * time.Millisecond,
		ClientOption: rueidis.ClientOption{
			InitAddress: []string{p.Via[p.Servers[0]]}, ClientSetInfo: rueidis.DisableClientSetInfo,
		},
	}))}
}

func (r rueidisClient) close() { r.l.Close() }

func (r rueidisClient) request(key string) acquireFunc {
	return func(ctx context.Context, w lockRequest) (handle, error) {
		// The deadline of the wait's ctx would also end the hold.
		own, stop := context.WithCancel(context.Background())
		waits := context.AfterFunc(ctx, stop)
		held, release, err := r.l.WithContext(own, "soak:"+key)
		if !waits() && err == nil {
			release()
			err = context.Cause(ctx)
		}
		if err != nil {
			stop()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return handle{}, err
		}
		return handle{nil, held.Err, func() error {
			defer stop()
			release()
			return nil
		}}, nil
	}
}
