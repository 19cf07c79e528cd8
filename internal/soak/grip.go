package main

import "context"

// A grip is a hold of whatever kind.
type grip struct {
	fence   func(key string) int64
	err     func() error // nil while it is believed in
	release func() error
}

// want is how to ask for a hold.
type want struct {
	try, channel bool
	shared       bool
	n            int64    // permits
	keys         []string // of a pool
}

// A system opens what asks for the key.
type system struct {
	settings string
	open     func(p *plan) (asker, error)
}

// An asker is a system's client in a worker.
type asker interface {
	ask(key string) func(context.Context, want) (grip, error)
	close()
}

var systems = map[string]system{
	"baton":       {"leases of this library", openBaton},
	"redislock":   {"bsm/redislock on go-redis, LinearBackoff(10 ms)", openRedislock},
	"redsync":     {"redsync on go-redis, WithRetryDelay(10 ms), WithTries(MaxInt)", openRedsync},
	"rueidislock": {"rueidislock, KeyMajority 1, NoLoopTracking, TryNextAfter 100 ms", openRueidislock},
}
