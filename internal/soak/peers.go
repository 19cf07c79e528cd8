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

// peers try again after that long.
const retry = 10 * time.Millisecond

// errNotHeld is what a peer says of a lock that it does not hold.
var errNotHeld = errors.New("not held")

// until is the belief of peers that count the time of their lease and do not renew.
func until(end time.Time) func() error {
	return func() error {
		if time.Now().Before(end) {
			return nil
		}
		return errNotHeld
	}
}

// bsm is bsm/redislock.
type bsm struct {
	rdb redis.UniversalClient
	ttl time.Duration
}

func openRedislock(p *plan) lockClient { return bsm{p.client(), p.TTL} }

func (b bsm) close() { _ = b.rdb.Close() }

func (b bsm) request(key string) askFunc {
	c := redislock.New(b.rdb)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		for {
			asked := time.Now()
			l, err := c.Obtain(ctx, key, b.ttl, &redislock.Options{RetryStrategy: redislock.LinearBackoff(retry)})
			// Under a ctx without a deadline it waits for one TTL.
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				continue
			}
			if err != nil {
				return handle{}, err
			}
			return handle{nil, until(asked.Add(b.ttl)), func() error {
				err := l.Release(context.Background())
				if errors.Is(err, redislock.ErrLockNotHeld) {
					return errNotHeld
				}
				return err
			}}, nil
		}
	}
}

// rsync is redsync with one pool.
type rsync struct {
	rdb redis.UniversalClient
	rs  *redsync.Redsync
	ttl time.Duration
}

func openRedsync(p *plan) lockClient {
	rdb := p.client()
	return rsync{rdb, redsync.New(goredis.NewPool(rdb)), p.TTL}
}

func (r rsync) close() { _ = r.rdb.Close() }

func (r rsync) request(key string) askFunc {
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

// rueidi is rueidislock, on a client of rueidis. It believes in a hold until it ends
// the hold's ctx.
type rueidi struct{ l rueidislock.Locker }

func openRueidislock(p *plan) lockClient {
	return rueidi{must(rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: p.TTL, TryNextAfter: 100 * time.Millisecond,
		ClientOption: rueidis.ClientOption{
			InitAddress: []string{p.Via[p.Servers[0]]}, ClientSetInfo: rueidis.DisableClientSetInfo,
		},
	}))}
}

func (r rueidi) close() { r.l.Close() }

func (r rueidi) request(key string) askFunc {
	return func(ctx context.Context, w lockRequest) (handle, error) {
		// The budget of its wait would become that of the hold.
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
