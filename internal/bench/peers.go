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

// redislockClient uses bsm/redislock. A retry strategy counts tries, so each lock call needs its own.
type redislockClient struct {
	goRedis
	c *redislock.Client
}

func openRedislock(addr string) (client, error) {
	rdb := dial(addr)
	return redislockClient{goRedis{rdb}, redislock.New(rdb)}, nil
}

func (b redislockClient) handle(key string) handle {
	return &redislockHandle{redislockClient: b, key: key}
}

type redislockHandle struct {
	redislockClient
	key string
	l   *redislock.Lock
}

func (h *redislockHandle) lock(ctx context.Context) (err error) {
	for {
		h.l, err = h.c.Obtain(ctx, h.key, TTL, &redislock.Options{RetryStrategy: redislock.ExponentialBackoff(16*time.Millisecond, 512*time.Millisecond)})
		// With a ctx without a deadline, Obtain waits for one TTL.
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

func (h *redislockHandle) unlock() error { return h.l.Release(context.Background()) }

// redsyncClient uses redsync with one pool.
type redsyncClient struct {
	goRedis
	rs *redsync.Redsync
}

func openRedsync(addr string) (client, error) {
	rdb := dial(addr)
	return redsyncClient{goRedis{rdb}, redsync.New(goredis.NewPool(rdb))}, nil
}

func (r redsyncClient) handle(key string) handle { return redsyncHandle{r.rs.NewMutex(key)} }

type redsyncHandle struct{ m *redsync.Mutex }

func (h redsyncHandle) lock(ctx context.Context) error {
	for {
		err := h.m.LockContext(ctx)
		var taken *redsync.ErrTaken // the result of the last try
		if !errors.As(err, &taken) || ctx.Err() != nil {
			return err
		}
	}
}

func (h redsyncHandle) unlock() error {
	_, err := h.m.Unlock()
	return err
}

// rueidisClient uses rueidislock.
type rueidisClient struct{ l rueidislock.Locker }

func openRueidislock(addr string) (client, error) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: TTL, TryNextAfter: time.Second,
		ClientOption: rueidis.ClientOption{InitAddress: strings.Split(addr, ","), ClientSetInfo: rueidis.DisableClientSetInfo},
	})
	return rueidisClient{l}, err
}

func (r rueidisClient) handle(key string) handle { return &rueidisHandle{l: r.l, key: key} }
func (r rueidisClient) close()                   { r.l.Close() }

type rueidisHandle struct {
	l       rueidislock.Locker
	key     string
	release context.CancelFunc
}

func (h *rueidisHandle) lock(ctx context.Context) (err error) {
	_, h.release, err = h.l.WithContext(ctx, h.key)
	return err
}

func (h *rueidisHandle) unlock() error {
	h.release() // returns when the key is deleted
	return nil
}
