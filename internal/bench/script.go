package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"
)

// take is the semaphore that everybody writes by hand: who holds a permit is in
// a sorted set, by the time at which that ends.
var take = redis.NewScript(`
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])
if redis.call("ZCARD", KEYS[1]) < tonumber(ARGV[2]) then
	redis.call("ZADD", KEYS[1], ARGV[3], ARGV[4])
	return 1
end
return 0`)

// script is a semaphore by that script.
type script struct {
	hangUp
}

func openScript1ms(addr string) (client, error) {
	return script{hangUp{dial(addr)}}, nil
}

func (s script) handle(key string) handle {
	return &scriptHandle{script: s, keys: []string{key}, token: rand.Text()}
}

type scriptHandle struct {
	script
	keys  []string
	token string
}

func (h *scriptHandle) lock(ctx context.Context) error {
	for {
		now := time.Now()
		n, err := take.Run(ctx, h.rdb, h.keys, now.UnixMilli(), permits, now.Add(TTL).UnixMilli(), h.token).Int()
		if err != nil || n == 1 {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *scriptHandle) unlock() error {
	n, err := h.rdb.ZRem(context.Background(), h.keys[0], h.token).Result()
	if err == nil && n == 0 {
		return errHeld
	}
	return err
}
