package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dial connects with go-redis's defaults, without the commands that go-redis sends by itself. If addr
// lists several servers, they are a cluster.
func dial(addr string) redis.UniversalClient { return redis.NewUniversalClient(options(addr)) }

func options(addr string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:                    strings.Split(addr, ","),
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// goRedis is embedded in the clients that use go-redis.
type goRedis struct{ rdb redis.UniversalClient }

func (h goRedis) close() { _ = h.rdb.Close() } // all results are already recorded

// plain is a client of a hand-written lock.
type plain struct {
	goRedis
	wait    bool          // lock tries until it succeeds
	pause   time.Duration // between tries
	try     func(ctx context.Context, rdb redis.UniversalClient, key, token string) (got bool, err error)
	release func(rdb redis.UniversalClient, key, token string) (held int64, err error)
}

var errHeld = errors.New("bench: another worker holds the lock")

func (p plain) handle(key string) handle { return &plainHandle{p, key, rand.Text()} }

type plainHandle struct {
	plain
	key, token string
}

func (h *plainHandle) lock(ctx context.Context) error {
	for {
		got, err := h.try(ctx, h.rdb, h.key, h.token)
		switch {
		case err != nil || got:
			return err
		case !h.wait:
			return errHeld
		case ctx.Err() != nil:
			return ctx.Err()
		}
		time.Sleep(h.pause)
	}
}

func (h *plainHandle) unlock() error {
	n, err := h.release(h.rdb, h.key, h.token)
	if err == nil && n == 0 {
		return errHeld
	}
	return err
}

func setNX(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
	err := rdb.SetArgs(ctx, key, token, redis.SetArgs{Mode: "NX", TTL: TTL}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

var compareAndDelete = redis.NewScript(
	`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

func compareDelete(rdb redis.UniversalClient, key, token string) (int64, error) {
	return compareAndDelete.Run(context.Background(), rdb, []string{key}, token).Int64()
}

// openFloor opens the usual hand-written lock. Its two commands are the minimum of a lock on Redis.
func openFloor(addr string) (client, error) {
	return plain{goRedis: goRedis{dial(addr)}, try: setNX, release: compareDelete}, nil
}

func openSpin(addr string) (client, error) {
	return plain{goRedis: goRedis{dial(addr)}, wait: true, try: setNX, release: compareDelete}, nil
}

// lockFenced is the floor's lock with a fence that grows even after a loss of data or a clock set back:
// it uses the server's clock and the last fence. It is the minimum of a lock with such a fence.
var lockFenced = redis.NewScript(`
if not redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return 0 end
local time = redis.call("TIME")
local fence = time[1] * 1000000 + time[2]
local last = tonumber(redis.call("SET", KEYS[2], fence, "GET"))
if last and last >= fence then
  fence = last + 1
  redis.call("SET", KEYS[2], fence)
end
return fence`)

func openFenced(addr string) (client, error) {
	return plain{goRedis: goRedis{dial(addr)}, release: compareDelete, try: func(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
		return lockFenced.Run(ctx, rdb, []string{key, "{" + key + "}:fence"}, token, TTL.Milliseconds()).Bool()
	}}, nil
}

// takePermit is the usual hand-written semaphore: a sorted set of holders by expiry.
var takePermit = redis.NewScript(`
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])
if redis.call("ZCARD", KEYS[1]) < tonumber(ARGV[2]) then
	redis.call("ZADD", KEYS[1], ARGV[3], ARGV[4])
	return 1
end
return 0`)

func openScript(addr string) (client, error) {
	return plain{goRedis{dial(addr)}, true, time.Millisecond,
		func(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
			now := time.Now()
			return takePermit.Run(ctx, rdb, []string{key}, now.UnixMilli(), permits, now.Add(TTL).UnixMilli(), token).Bool()
		},
		func(rdb redis.UniversalClient, key, token string) (int64, error) {
			return rdb.ZRem(context.Background(), key, token).Result()
		}}, nil
}
