package main

import (
	"context"
	"time"
)

// TTL is that of every lock, unless a system's settings say otherwise.
const TTL = 10 * time.Second

// A system is a lock to be measured, with its settings.
type system struct {
	name     string
	settings string
	soloOnly bool
	own      bool     // baton's, not a peer's
	direct   []string // commands that it sends as such, not from scripts
	open     func(addr string) (client, error)
}

// A client is what a system needs once per process.
type client interface {
	handle(key string) handle
	close()
}

// A handle is what a system needs once per goroutine. It is used by one.
type handle interface {
	lock(ctx context.Context) error // waits until the lock is had or ctx ends
	unlock() error
}

var systems = []system{
	{
		name: "floor", soloOnly: true, direct: []string{"set"}, open: openFloor,
		settings: "SET NX PX, then compare-and-delete by EVALSHA, over go-redis; nothing else",
	},
	{
		name: "baton", own: true, open: openBaton,
		settings: "LockContext and Lease.Unlock, TTL 10 s (as New sets it)",
	},
	{
		name: "baton-ctx", own: true, soloOnly: true, open: openBatonCtx,
		settings: "as baton, with a ctx that can be cancelled (in the hot rows every system gets one)",
	},
	{
		name: "baton-sync", own: true, open: openBatonSync,
		settings: "Lock and Unlock, as of sync.Mutex, TTL 10 s",
	},
	{
		name: "redislock", open: openRedislock,
		settings: "bsm/redislock, ExponentialBackoff(16 ms, 512 ms): by itself it does not wait, 16 ms is the minimum that its manual recommends",
	},
	{
		name: "redislock-1ms", open: openRedislock1ms,
		settings: "bsm/redislock, LinearBackoff(1 ms)",
	},
	{
		name: "redsync", direct: []string{"set"}, open: openRedsync,
		settings: "redsync on go-redis v9, its defaults: 50–250 ms between tries, 32 tries (then again), expiry 8 s",
	},
	{
		name: "redsync-1ms", direct: []string{"set"}, open: openRedsync1ms,
		settings: "redsync on go-redis v9, WithTries(MaxInt), WithRetryDelay(1 ms), WithExpiry(10 s)",
	},
	{
		name: "rueidislock", open: openRueidislock,
		settings: "rueidislock, its defaults: KeyMajority 2 (three keys), KeyValidity 5 s, TryNextAfter 20 ms, tracking with loops",
	},
	{
		name: "rueidislock-1", open: openRueidislock1,
		settings: "rueidislock, KeyMajority 1, NoLoopTracking, KeyValidity 10 s, TryNextAfter 1 s, FallbackSETPX false",
	},
	{
		name: "spin", direct: []string{"set"}, open: openSpin,
		settings: "as floor, with SET NX PX repeated without a pause until it succeeds",
	},
}

func systemNamed(name string) (system, bool) {
	for _, s := range systems {
		if s.name == name {
			return s, true
		}
	}
	return system{}, false
}
