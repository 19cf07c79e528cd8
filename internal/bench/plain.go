package main

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
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

// plain is a hand-written lock.
type plain struct {
	wait    bool          // lock tries until it succeeds
	pause   time.Duration // between tries
	try     func(ctx context.Context, rdb redis.UniversalClient, key, token string) (got bool, err error)
	release func(rdb redis.UniversalClient, key, token string) (held int64, err error)
}

var errHeld = errors.New("bench: another worker holds the lock")

func (p plain) open(addr string) client {
	rdb := dial(addr)
	return client{close: rdb.Close, handle: func(key string) handle {
		token := rand.Text()
		return handle{
			func(ctx context.Context) error {
				for {
					got, err := p.try(ctx, rdb, key, token)
					switch {
					case err != nil || got:
						return err
					case !p.wait:
						return errHeld
					case ctx.Err() != nil:
						return ctx.Err()
					}
					time.Sleep(p.pause)
				}
			},
			func() error { return heldBefore(p.release(rdb, key, token)) },
		}
	}}
}

// heldBefore returns the error of a release that returns 1 if the lock was held.
func heldBefore(n int64, err error) error {
	if err == nil && n == 0 {
		return errHeld
	}
	return err
}

var (
	// floor is the usual hand-written lock. Its two commands are the minimum of a lock on Redis.
	floor = plain{try: setNX, release: compareDelete}
	spin  = plain{wait: true, try: setNX, release: compareDelete}

	fenced = plain{release: compareDelete, try: func(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
		return lockFenced.Run(ctx, rdb, []string{key, "{" + key + "}:fence"}, token, TTL.Milliseconds()).Bool()
	}}

	// script is the usual hand-written semaphore: a sorted set of holders by expiry.
	script = plain{wait: true, pause: time.Millisecond,
		try: func(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
			now := time.Now()
			return takePermit.Run(ctx, rdb, []string{key}, now.UnixMilli(), permits, now.Add(TTL).UnixMilli(), token).Bool()
		},
		release: func(rdb redis.UniversalClient, key, token string) (int64, error) {
			return rdb.ZRem(context.Background(), key, token).Result()
		}}
)

func setNX(ctx context.Context, rdb redis.UniversalClient, key, token string) (bool, error) {
	err := rdb.SetArgs(ctx, key, token, redis.SetArgs{Mode: "NX", TTL: TTL}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

func compareDelete(rdb redis.UniversalClient, key, token string) (int64, error) {
	return compareAndDelete.Run(context.Background(), rdb, []string{key}, token).Int64()
}

var compareAndDelete = redis.NewScript(
	`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

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

var takePermit = redis.NewScript(`
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])
if redis.call("ZCARD", KEYS[1]) < tonumber(ARGV[2]) then
	redis.call("ZADD", KEYS[1], ARGV[3], ARGV[4])
	return 1
end
return 0`)

const (
	senders  = 2   // number of pipelines in flight
	maxBatch = 128 // maximum number of commands in a pipeline
)

// A queuedCmd is a command that waits for a sender.
type queuedCmd struct {
	script *redis.Script
	keys   []string
	args   []any
	cmd    *redis.Cmd
	done   chan struct{} // capacity 1
}

// openPipeline opens the simplest group commit of floor-fenced's commands. Each sender has a connection, and
// sends the queued commands as one pipeline.
func openPipeline(addr string) client {
	rdb := redis.NewClient(options(addr).Simple())
	for _, s := range []*redis.Script{lockFenced, compareAndDelete} {
		check(s.Load(context.Background(), rdb).Err())
	}
	queue := make(chan *queuedCmd, maxBatch)
	for range senders {
		go send(rdb.Conn(), queue)
	}
	closing := func() error {
		close(queue)
		return rdb.Close()
	}
	return client{close: closing, handle: func(key string) handle {
		keys, token, done := []string{key, "{" + key + "}:fence"}, rand.Text(), make(chan struct{}, 1)
		run := func(s *redis.Script, keys []string, args ...any) error {
			c := &queuedCmd{script: s, keys: keys, args: args, done: done}
			queue <- c
			<-done
			return heldBefore(c.cmd.Int64())
		}
		return handle{
			func(context.Context) error { return run(lockFenced, keys, token, TTL.Milliseconds()) },
			func() error { return run(compareAndDelete, keys[:1], token) },
		}
	}}
}

func send(conn *redis.Conn, queue <-chan *queuedCmd) {
	defer conn.Close()
	for first := range queue {
		runtime.Gosched() // goroutines that are about to queue a command do so first
		batch, pipe := []*queuedCmd{first}, conn.Pipeline()
		for len(queue) > 0 && len(batch) < maxBatch {
			batch = append(batch, <-queue)
		}
		for _, c := range batch {
			c.cmd = pipe.EvalSha(context.Background(), c.script.Hash(), c.keys, c.args...)
		}
		_, _ = pipe.Exec(context.Background()) // each command has its own error
		for _, c := range batch {
			c.done <- struct{}{}
		}
	}
}
