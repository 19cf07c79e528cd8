package main

import (
	"context"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

const (
	// TTL is the TTL of every lock, unless a system's settings name another.
	TTL = 10 * time.Second
	// permits is the size of the semaphores.
	permits = 16
)

// A system is a lock under measurement, with its settings.
type system struct {
	name     string
	ours     bool   // baton or a baseline, not a peer
	direct   string // commands that it sends directly, not in scripts, separated by spaces
	open     func(addr string) client
	settings string
}

// A client is the part of a system that exists once per process.
type client struct {
	close  func() error
	handle func(key string) handle
	writer func(key string) handle // nil if all handles are the same
}

// A handle is the part of a system that exists once per goroutine.
type handle struct {
	lock   func(ctx context.Context) error // waits until the lock is acquired or ctx is done
	unlock func() error
}

const (
	batonLinger     = "baton-linger"
	batonLingerFree = "baton-linger-free"
)

var (
	openLinger = openMutex(50*time.Millisecond, (*mutex.Mutex).LockContext)
	systems    = []system{
		{"floor", false, "set", floor.open, "SET NX PX, then compare-and-delete by EVALSHA, with go-redis; nothing else"},
		{"floor-fenced", true, "", fenced.open, "like floor, but SET NX PX is in a script that returns a fence from TIME and a key with the last fence, which grows across a failover"},
		{"baton", true, "", openMutex(0, (*mutex.Mutex).LockContext), "LockContext, with a ctx that can be canceled, and Lease.Unlock; TTL 10 s (the default)"},
		{batonLinger, true, "", openLinger, "like baton, with Linger 50 ms"},
		{batonLingerFree, true, "", openLinger, "the same, on an uncontended lock"},
		{"baton-background", true, "", openMutex(0, inBackground), "like baton, with a ctx that is never done"},
		{"baton-rw", true, "", openRW, "RWMutex: RLockContext and LockContext"},
		{"redislock", false, "", openRedislock, "bsm/redislock with ExponentialBackoff(16 ms, 512 ms), because it does not wait by default; 16 ms is the minimum that its manual recommends"},
		{"redsync", false, "set", openRedsync, "redsync on go-redis v9 with its defaults: 50–250 ms between tries, 32 tries (repeated), expiry 8 s"},
		{"rueidislock-1", false, "", openRueidislock, "rueidislock, KeyMajority 1, NoLoopTracking, KeyValidity 10 s, TryNextAfter 1 s, FallbackSETPX false"},
		{"spin", false, "set", spin.open, "like floor, with SET NX PX repeated without a pause until it succeeds"},
		{"pipeline", true, "", openPipeline, "like floor-fenced, with the commands of all goroutines sent in go-redis pipelines on two connections; no leases and no renewals"},
		{"baton-permits", true, "", openWeighted, "semaphore.Weighted of 16, AcquireLease and Lease.Release of 1, TTL 10 s"},
		{"script-1ms", false, "zrem", script.open, "the usual hand-written semaphore, a sorted set of holders by expiry: ZREMRANGEBYSCORE, ZCARD and ZADD in a script, repeated after 1 ms; ZREM"},
		{"no lock", true, "", openNone, "no lock; no row measures it, and a test checks that two are inside"},
	}
)

func systemNamed(name string) (system, bool) {
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		return system{}, false
	}
	return systems[i], true
}

func openNone(string) client {
	none := handle{func(context.Context) error { return nil }, func() error { return nil }}
	return client{close: func() error { return nil }, handle: func(string) handle { return none }}
}
