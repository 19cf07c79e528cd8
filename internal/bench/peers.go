package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// openRedislock uses bsm/redislock. A retry strategy counts tries, so each lock call needs its own.
func openRedislock(addr string) client {
	rdb := dial(addr)
	c := redislock.New(rdb)
	return client{close: rdb.Close, handle: func(key string) handle {
		var l *redislock.Lock
		return handle{
			func(ctx context.Context) (err error) {
				for {
					l, err = c.Obtain(ctx, key, TTL, &redislock.Options{RetryStrategy: redislock.ExponentialBackoff(16*time.Millisecond, 512*time.Millisecond)})
					// With a ctx without a deadline, Obtain waits for one TTL.
					if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
						return err
					}
				}
			},
			func() error { return l.Release(context.Background()) },
		}
	}}
}

// openRedsync uses redsync with one pool.
func openRedsync(addr string) client {
	rdb := dial(addr)
	rs := redsync.New(goredis.NewPool(rdb))
	return client{close: rdb.Close, handle: func(key string) handle {
		m := rs.NewMutex(key)
		return handle{
			func(ctx context.Context) error {
				for {
					err := m.LockContext(ctx)
					var taken *redsync.ErrTaken // the result of the last try
					if !errors.As(err, &taken) || ctx.Err() != nil {
						return err
					}
				}
			},
			func() error {
				_, err := m.Unlock()
				return err
			},
		}
	}}
}

func openRueidislock(addr string) client {
	l := must(rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: TTL, TryNextAfter: time.Second,
		ClientOption: rueidis.ClientOption{InitAddress: strings.Split(addr, ","), ClientSetInfo: rueidis.DisableClientSetInfo},
	}))
	return client{close: func() error { l.Close(); return nil }, handle: func(key string) handle {
		var release context.CancelFunc
		return handle{
			func(ctx context.Context) (err error) {
				_, release, err = l.WithContext(ctx, key)
				return err
			},
			func() error {
				release() // returns when the key is deleted
				return nil
			},
		}
	}}
}
