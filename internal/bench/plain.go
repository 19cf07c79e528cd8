package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dial connects with go-redis's defaults, without the commands that it sends on its
// own. If addr lists several servers, they are a cluster.
func dial(addr string) redis.UniversalClient { return redis.NewUniversalClient(options(addr)) }

func options(addr string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:                    strings.Split(addr, ","),
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// hangUp is embedded in the clients that stand on go-redis.
type hangUp struct{ rdb redis.UniversalClient }

func (h hangUp) close() { _ = h.rdb.Close() } // all is measured, nothing can be lost

var errHeld = errors.New("bench: the lock is held by somebody else")

var compareAndDelete = redis.NewScript(
	`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// plain is the lock that everybody writes by hand. Its two commands are the
// least that a lock on Redis can be.
type plain struct {
	hangUp
	wait bool
}

func openFloor(addr string) (client, error) {
	return newPlain(addr, false), nil
}
func openSpin(addr string) (client, error) { return newPlain(addr, true), nil }

func newPlain(addr string, wait bool) plain { return plain{hangUp{dial(addr)}, wait} }

func (p plain) handle(key string) handle {
	return &plainHandle{plain: p, key: key, token: rand.Text()}
}

type plainHandle struct {
	plain
	key, token string
}

func (h *plainHandle) lock(ctx context.Context) error {
	for {
		err := h.rdb.SetArgs(ctx, h.key, h.token, redis.SetArgs{Mode: "NX", TTL: TTL}).Err()
		switch {
		case !errors.Is(err, redis.Nil):
			return err
		case !h.wait:
			return errHeld
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func (h *plainHandle) unlock() error {
	n, err := compareAndDelete.Run(context.Background(), h.rdb, []string{h.key}, h.token).Int()
	if err == nil && n == 0 {
		return errHeld
	}
	return err
}
