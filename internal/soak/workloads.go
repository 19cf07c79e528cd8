package main

import (
	"context"
	"strings"
	"time"
)

// A workload defines the use and the checks of the keys with one first letter.
type workload struct {
	name     string
	capacity int32              // maximum weight of all valid holds; 0 if it is no lock
	ordered  bool               // whether fences grow
	run      [2]func(c *client) // the goroutines of a worker
	check    func(s *timeline, key string, ttl time.Duration) []violation
}

// keys has the keys of the workers. The first letter selects the workload. On keys that end in 1, some holds
// are longer than the TTL, and need renewal. Keys of locks that end in 2 or 3 are only tried, so a failed try
// means that the lock was held, or that a claim lingered on a key that ends in 3.
var keys = []string{"m0", "m1", "m2", "m3", "p0", "p1", "p2", "r0", "r1", "r2", "s0", "s1", "w0", "l0", "e0", "e1", "o0", "f0"}

var workloads map[byte]workload

func init() { // avoids an initialization cycle
	contend := [2]func(*client){(*client).contend, (*client).contend}
	workloads = map[byte]workload{
		'm': {"mutex", 1, true, contend, lockRules},
		'p': {"pool", 1, true, [2]func(*client){(*client).contend}, lockRules},
		'r': {"rwmutex", all, true, contend, lockRules},
		's': {"semaphore", permits, false, contend, lockRules},
		'w': {"waitgroup", 0, false, [2]func(*client){(*client).runTasks, (*client).awaitGroup}, waitGroupRules},
		'l': {"limiter", 0, false, [2]func(*client){(*client).takeTokens, (*client).takeTokens}, limiterRules},
		'e': {"election", 1, true, contend, lockRules},
		'o': {"once", 1, true, [2]func(*client){(*client).once, (*client).once}, onceRules},
		'f': {"flight", 1, true, [2]func(*client){(*client).flight, (*client).flight}, lockRules},
	}
}

const (
	permits = 3    // size of a semaphore
	all     = 1000 // weight of a writer; a reader has weight 1
	rate    = 40   // of the limiter, events per second
	burst   = 5
)

func workloadOf(key string) workload { return workloads[key[0]] }

// onlyTried reports whether the key is only tried, never waited for.
func onlyTried(key string) bool { return key[1] >= '2' && key[0] != 'p' }

// triedWhileIdle reports whether the key is only tried, by processes that linger.
func triedWhileIdle(key string) bool { return key == "m3" }

// isCompanion reports whether name is a companion key of a lock. The records of a wait group's operations do
// not count, because only restarts lose them.
func isCompanion(name, key string) bool {
	return strings.HasPrefix(name, "baton:{"+key+"}:") && key[0] != 'w'
}

// A handle is a hold of any kind.
type handle struct {
	fence   func(key string) int64 // nil for peers without fences
	err     func() error           // returns nil while the hold is valid
	release func() error
}

// A lockRequest describes a request for a hold.
type lockRequest struct {
	try, channel bool
	shared       bool
	weight       int32
	keys         []string // more than one for a pool
}

type acquireFunc = func(context.Context, lockRequest) (handle, error)

// systems has baton and the control group. Each has a function that returns how a worker acquires a key.
var systems = map[string]func(w *worker) func(key string) acquireFunc{
	"baton": openBaton, "redislock": openRedislock, "redsync": openRedsync, "rueidislock": openRueidislock,
}
