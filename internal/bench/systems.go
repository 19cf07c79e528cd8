package main

import (
	"context"
	"slices"
	"time"
)

// TTL is that of every lock, unless a system's settings say otherwise.
const TTL = 10 * time.Second

// permits is the size of the semaphores.
const permits = 16

// A system is a lock to be measured, with its settings.
type system struct {
	name     string
	own      bool   // baton's, or a yardstick: not a peer's
	direct   string // commands that it sends as such, not from scripts, with spaces
	open     func(addr string) (client, error)
	settings string
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

const (
	lingers   = "baton-linger"
	visitFree = "baton-linger-free"
)

var systems = []system{
	{"floor", false, "set", openFloor, "SET NX PX, then compare-and-delete by EVALSHA, over go-redis; nothing else"},
	{"floor-fenced", true, "", openFenced, "as floor, but SET NX PX in a script that also gives a fence which grows across a failover, by TIME and a key with the last one"},
	{"baton", true, "", openBaton, "LockContext, with a ctx that can be canceled, and Lease.Unlock; TTL 10 s (as New sets it)"},
	{lingers, true, "", openLinger, "as baton, with Linger 50 ms"},
	{visitFree, true, "", openLinger, "the same, on a lock that nobody else wants"},
	{"baton-background", true, "", openBackground, "as baton, with a ctx that cannot end"},
	{"baton-rw", true, "", openRW, "RWMutex: RLockContext and LockContext"},
	{"redislock", false, "", openRedislock, "bsm/redislock, ExponentialBackoff(16 ms, 512 ms): by itself it does not wait, 16 ms is the minimum that its manual recommends"},
	{"redsync", false, "set", openRedsync, "redsync on go-redis v9, its defaults: 50–250 ms between tries, 32 tries (then again), expiry 8 s"},
	{"rueidislock-1", false, "", openRueidislock, "rueidislock, KeyMajority 1, NoLoopTracking, KeyValidity 10 s, TryNextAfter 1 s, FallbackSETPX false"},
	{"spin", false, "set", openSpin, "as floor, with SET NX PX repeated without a pause until it succeeds"},
	{"pipeline", true, "", openPipeline, "as floor-fenced, with the commands of all goroutines sent in pipelines of go-redis, on two connections: no leases and no renewals"},
	{"baton-permits", true, "", openWeighted, "semaphore.Weighted of 16, AcquireLease and Lease.Release of 1, TTL 10 s"},
	{"script-1ms", false, "zrem", openScript, "a sorted set of holders by expiry, as such semaphores are written by hand: ZREMRANGEBYSCORE, ZCARD and ZADD in a script, repeated after 1 ms; ZREM"},
	{"no lock", true, "", func(string) (client, error) { return none{}, nil }, "none: no row measures it, and a test shows that two are inside"},
}

func systemNamed(name string) (system, bool) {
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		return system{}, false
	}
	return systems[i], true
}

type none struct{}

func (n none) handle(string) handle     { return n }
func (none) close()                     {}
func (none) lock(context.Context) error { return nil }
func (none) unlock() error              { return nil }
