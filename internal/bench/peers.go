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

// bsm is bsm/redislock. A strategy counts tries, so that each lock needs its own.
type bsm struct {
	hangUp
	c *redislock.Client
}

func openRedislock(addr string) (client, error) {
	rdb := dial(addr)
	return bsm{hangUp{rdb}, redislock.New(rdb)}, nil
}

func (b bsm) handle(key string) handle { return &bsmHandle{bsm: b, key: key} }

type bsmHandle struct {
	bsm
	key string
	l   *redislock.Lock
}

func (h *bsmHandle) lock(ctx context.Context) (err error) {
	for {
		h.l, err = h.c.Obtain(ctx, h.key, TTL, &redislock.Options{RetryStrategy: redislock.ExponentialBackoff(16*time.Millisecond, 512*time.Millisecond)})
		// Under a ctx without a deadline it waits for one TTL.
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

func (h *bsmHandle) unlock() error { return h.l.Release(context.Background()) }

// rsync is redsync with one pool.
type rsync struct {
	hangUp
	rs *redsync.Redsync
}

func openRedsync(addr string) (client, error) {
	rdb := dial(addr)
	return rsync{hangUp{rdb}, redsync.New(goredis.NewPool(rdb))}, nil
}

func (r rsync) handle(key string) handle { return rsyncHandle{r.rs.NewMutex(key)} }

type rsyncHandle struct{ m *redsync.Mutex }

func (h rsyncHandle) lock(ctx context.Context) error {
	for {
		err := h.m.LockContext(ctx)
		var taken *redsync.ErrTaken // what its last try found
		if !errors.As(err, &taken) || ctx.Err() != nil {
			return err
		}
	}
}

func (h rsyncHandle) unlock() error {
	_, err := h.m.Unlock()
	return err
}

// rueidi is rueidislock, on a client of rueidis.
type rueidi struct{ l rueidislock.Locker }

func openRueidislock(addr string) (client, error) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: TTL, TryNextAfter: time.Second,
		ClientOption: rueidis.ClientOption{InitAddress: strings.Split(addr, ","), ClientSetInfo: rueidis.DisableClientSetInfo},
	})
	return rueidi{l}, err
}

func (r rueidi) handle(key string) handle { return &rueidiHandle{l: r.l, key: key} }
func (r rueidi) close()                   { r.l.Close() }

type rueidiHandle struct {
	l       rueidislock.Locker
	key     string
	release context.CancelFunc
}

func (h *rueidiHandle) lock(ctx context.Context) (err error) {
	_, h.release, err = h.l.WithContext(ctx, h.key)
	return err
}

func (h *rueidiHandle) unlock() error {
	h.release() // returns when the key is deleted
	return nil
}
