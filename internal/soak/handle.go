package main

import "context"

// A handle is a hold of whatever kind.
type handle struct {
	fence   func(key string) int64
	err     func() error // nil while it is believed in
	release func() error
}

// lockRequest is how to ask for a hold.
type lockRequest struct {
	try, channel bool
	shared       bool
	n            int64    // permits
	keys         []string // of a pool
}

// A system opens what asks for the key.
type system struct {
	settings string
	open     func(p *plan) (lockClient, error)
}

// A lockClient is a system's client in a worker.
type lockClient interface {
	request(key string) func(context.Context, lockRequest) (handle, error)
	close()
}

var systems = map[string]system{
	"baton":       {"leases of this library", openBaton},
	"redislock":   {"bsm/redislock on go-redis, LinearBackoff(10 ms)", openRedislock},
	"redsync":     {"redsync on go-redis, WithRetryDelay(10 ms), WithTries(MaxInt)", openRedsync},
	"rueidislock": {"rueidislock, KeyMajority 1, NoLoopTracking, TryNextAfter 100 ms", openRueidislock},
}
