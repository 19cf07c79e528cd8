package main

import (
	"context"
	"slices"
	"time"
)

// TTL is that of every lock, unless a system's settings say otherwise.
const TTL = 10 * time.Second

// A system is a lock to be measured, with its settings.
type system struct {
	name     string
	settings string
	soloOnly bool
	noWait   bool     // its lock fails if the key is held
	permits  bool     // a semaphore of 16, not a lock
	own      bool     // baton's, or a yardstick: not a peer's
	turns    bool     // a yardstick for those that contend, and not for one goroutine alone
	batches  bool     // a yardstick for goroutines with a key each
	direct   []string // commands that it sends as such, not from scripts
	lingers  bool     // it keeps the lock for a moment after the unlock

	open func(addr string) (client, error)
}

// contends tells whether others can wait for the lock while it is held.
func (s system) contends() bool { return (s.ownsKeys() || s.lingers) && !s.noWait }

// ownsKeys reports whether the system is measured with a key for each goroutine.
func (s system) ownsKeys() bool { return !s.soloOnly && !s.permits && !s.lingers }

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
		name: "floor", noWait: true, direct: []string{"set"}, open: openFloor,
		settings: "SET NX PX, then compare-and-delete by EVALSHA, over go-redis; nothing else",
	},
	{
		name: "floor-fenced", own: true, noWait: true, open: openFenced,
		settings: "as floor, but SET NX PX in a script that also gives a fence which grows across a failover, by TIME and a key with the last one",
	},
	{
		name: "baton", own: true, open: openBaton,
		settings: "LockContext, with a ctx that can be canceled, and Lease.Unlock; TTL 10 s (as New sets it)",
	},
	{
		name: lingerName, own: true, lingers: true, open: openBatonLinger,
		settings: "as baton, with Linger 50 ms",
	},
	{
		name: "baton-background", own: true, soloOnly: true, open: openBatonBackground,
		settings: "as baton, with a ctx that cannot end",
	},
	{
		name: "baton-timeouts", own: true, soloOnly: true, open: openBatonTimeouts,
		settings: "as baton, on a client with ContextTimeoutEnabled: true",
	},
	{
		name: "redislock", open: openRedislock,
		settings: "bsm/redislock, ExponentialBackoff(16 ms, 512 ms): by itself it does not wait, 16 ms is the minimum that its manual recommends",
	},
	{
		name: "redsync", direct: []string{"set"}, open: openRedsync,
		settings: "redsync on go-redis v9, its defaults: 50–250 ms between tries, 32 tries (then again), expiry 8 s",
	},
	{
		name: "rueidislock-1", open: openRueidislock1,
		settings: "rueidislock, KeyMajority 1, NoLoopTracking, KeyValidity 10 s, TryNextAfter 1 s, FallbackSETPX false",
	},
	{
		name: "spin", direct: []string{"set"}, open: openSpin,
		settings: "as floor, with SET NX PX repeated without a pause until it succeeds",
	},
	{
		name: "baton-permits", own: true, permits: true, open: openWeighted,
		settings: "semaphore.Weighted of 16, AcquireLease and Lease.Release of 1, TTL 10 s",
	},
	{
		name: "script-1ms", permits: true, direct: []string{"zrem"}, open: openScript1ms,
		settings: "a sorted set of holders by expiry, as such semaphores are written by hand: ZREMRANGEBYSCORE, ZCARD and ZADD in a script, repeated after 1 ms; ZREM",
	},
}

// baselines are no systems to choose from: rows measure them by themselves.
var baselines = []system{
	{name: "uncontended", own: true, open: openBaton, settings: "baton, with one goroutine alone"},
	{name: "no lock", own: true, open: openNone, settings: "one goroutine that only holds"},
	{name: "pipeline", own: true, batches: true, open: openPipeline,
		settings: "as floor-fenced, with the commands of all goroutines sent in pipelines of go-redis, on two connections: no leases and no renewals"},
	{name: "relay", own: true, turns: true, open: openRelay,
		settings: "a list of who waits, and PUBLISH to the first of them: no TTL, no fence, no owner, and nobody may die"},
}

func systemNamed(name string) (system, bool) {
	for _, s := range slices.Concat(systems, baselines) {
		if s.name == name {
			return s, true
		}
	}
	return system{}, false
}
