package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
	c        *redislock.Client
	ttl      time.Duration
	strategy func() redislock.RetryStrategy
}

func openRedislock(addr string, ttl time.Duration) (client, error) {
	return newBsm(addr, ttl, func() redislock.RetryStrategy {
		return redislock.ExponentialBackoff(16*time.Millisecond, 512*time.Millisecond)
	}), nil
}

func openRedislock1ms(addr string, ttl time.Duration) (client, error) {
	return newBsm(addr, ttl, func() redislock.RetryStrategy { return redislock.LinearBackoff(time.Millisecond) }), nil
}

func newBsm(addr string, ttl time.Duration, strategy func() redislock.RetryStrategy) bsm {
	rdb := dial(addr)
	return bsm{hangUp{rdb}, redislock.New(rdb), cmp.Or(ttl, TTL), strategy}
}

func (b bsm) handle(key string) handle { return &bsmHandle{bsm: b, key: key} }

type bsmHandle struct {
	bsm
	key string
	l   *redislock.Lock
}

func (h *bsmHandle) lock(ctx context.Context) (err error) {
	for {
		h.l, err = h.c.Obtain(ctx, h.key, h.ttl, &redislock.Options{RetryStrategy: h.strategy()})
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
	rs   *redsync.Redsync
	opts []redsync.Option
}

func openRedsync(addr string, ttl time.Duration) (client, error) {
	if ttl == 0 {
		return newRsync(addr), nil
	}
	return newRsync(addr, redsync.WithExpiry(ttl)), nil
}

func openRedsync1ms(addr string, ttl time.Duration) (client, error) {
	return newRsync(addr, redsync.WithTries(math.MaxInt), redsync.WithRetryDelay(time.Millisecond),
		redsync.WithExpiry(cmp.Or(ttl, TTL))), nil
}

func newRsync(addr string, opts ...redsync.Option) rsync {
	rdb := dial(addr)
	return rsync{hangUp{rdb}, redsync.New(goredis.NewPool(rdb)), opts}
}

func (r rsync) handle(key string) handle { return rsyncHandle{r.rs.NewMutex(key, r.opts...)} }

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

func openRueidislock(addr string, ttl time.Duration) (client, error) {
	return newRueidi(addr, rueidislock.LockerOption{KeyValidity: ttl})
}

func openRueidislock1(addr string, ttl time.Duration) (client, error) {
	return newRueidi(addr, rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: cmp.Or(ttl, TTL), TryNextAfter: time.Second})
}

func newRueidi(addr string, o rueidislock.LockerOption) (client, error) {
	o.ClientOption = rueidis.ClientOption{InitAddress: strings.Split(addr, ","), ClientSetInfo: rueidis.DisableClientSetInfo}
	l, err := rueidislock.NewLocker(o)
	if err != nil {
		return nil, err
	}
	return rueidi{l}, nil
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

// rueidiKeys names the keys of a lock with n of them.
func rueidiKeys(n int) func(string) []string {
	return func(key string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("rueidislock:%d:%s", i, key))
		}
		return list
	}
}
