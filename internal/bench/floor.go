package main

import (
	"context"
	"crypto/rand"

	"github.com/redis/go-redis/v9"
)

// fenced is the floor with a fence that grows whatever becomes of the server that gave the
// last one: by its clock, and by the last fence, should the clock be set back. It is the least that a lock with
// such a fence can be.
type fenced struct{ plain }

func openFenced(addr string) (client, error) {
	return fenced{newPlain(addr, false)}, nil
}

func (f fenced) handle(key string) handle {
	return &fencedHandle{plainHandle{plain: f.plain, key: key, token: rand.Text()}}
}

type fencedHandle struct{ plainHandle }

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

func (h *fencedHandle) lock(ctx context.Context) error {
	fence, err := lockFenced.Run(ctx, h.rdb, []string{h.key, "{" + h.key + "}:fence"}, h.token, TTL.Milliseconds()).Int64()
	if err == nil && fence == 0 {
		return errHeld
	}
	return err
}

// relay is the least that a lock can be which takes turns and passes by a message: a list
// of who waits. It has no TTL, no fence and no owner, and nobody may die.
type relay struct {
	hangUp
	name   string
	sub    *redis.PubSub
	handed <-chan *redis.Message
}

func openRelay(addr string) (client, error) {
	r := relay{hangUp: hangUp{dial(addr)}, name: rand.Text()}
	r.sub = r.rdb.Subscribe(context.Background(), r.name)
	if _, err := r.sub.Receive(context.Background()); err != nil { // that it is subscribed
		r.close()
		return nil, err
	}
	r.handed = r.sub.Channel()
	return r, nil
}

func (r relay) close() {
	_ = r.sub.Close()
	r.hangUp.close()
}

func (r relay) handle(key string) handle { return &relayHandle{r, []string{key, key + ":line"}} }

type relayHandle struct {
	relay
	keys []string
}

var (
	enterRelay = redis.NewScript(`
if redis.call("SET", KEYS[1], "", "NX") then return 1 end
redis.call("RPUSH", KEYS[2], ARGV[1])
return 0`)
	leaveRelay = redis.NewScript(`
local first = redis.call("LPOP", KEYS[2])
if first then redis.call("PUBLISH", first, "") else redis.call("DEL", KEYS[1]) end
return 0`)
)

func (h *relayHandle) lock(ctx context.Context) error {
	free, err := enterRelay.Run(ctx, h.rdb, h.keys, h.name).Bool()
	if err != nil || free {
		return err
	}
	select {
	case <-h.handed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *relayHandle) unlock() error {
	return leaveRelay.Run(context.Background(), h.rdb, h.keys).Err()
}
