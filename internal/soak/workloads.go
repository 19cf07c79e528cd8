package main

import (
	"context"
	"strings"
	"time"
)

// A workload is what workers do with the keys of a letter, and what must hold.
type workload struct {
	name     string
	capacity int32                              // the weight of all holds that may be believed in at a time
	ordered  bool                               // by their fences
	choose   func(c *client, w *lockRequest)    // what to ask for next, if there is a choice
	lock     func(b *baton, key string) askFunc // nil for what is no lock
	run      []func(c *client)                  // a goroutine each, in each worker
	check    func(s *timeline, key string, ttl time.Duration) []violation
}

// keys are what the workers contend for; the first letter tells the workload. Of those
// that end in 1 some holds outlast the TTL, and live by renewal. Nobody waits for a lock
// that ends in 2 or 3, so that a refused try says that somebody held it, or, of one that
// ends in 3, had a claim that lingered.
var keys = []string{"m0", "m1", "m2", "m3", "p0", "p1", "p2", "r0", "r1", "r2", "s0", "s1", "w0", "l0", "e0", "e1", "o0", "f0"}

var workloads map[byte]workload

func init() { // later, as what a workload does refers to it
	two := []func(*client){(*client).contend, (*client).contend}
	workloads = map[byte]workload{
		'm': {"mutex", 1, true, nil, lockMutex, two, lockRules},
		'p': {"pool", 1, true, chooseKeys, lockPool, two[:1], lockRules},
		'r': {"rwmutex", all, true, chooseShared, lockRW, two, lockRules},
		's': {"semaphore", permits, false, choosePermits, acquirePermits, two, lockRules},
		'w': {"waitgroup", 0, false, nil, nil, []func(*client){(*client).count, (*client).await}, rounds},
		'l': {"limiter", 0, false, nil, nil, []func(*client){(*client).take, (*client).take}, pace},
		'e': {"election", 1, true, nil, campaign, two, lockRules},
		'o': {"once", 1, true, nil, nil, []func(*client){(*client).once, (*client).once}, onceRules},
		'f': {"flight", 1, true, nil, nil, []func(*client){(*client).flight, (*client).flight}, lockRules},
	}
}

const (
	permits = 3    // of a semaphore
	all     = 1000 // of a reader/writer lock: a writer takes all, a reader 1
	rate    = 40   // of the limiter, events a second
	burst   = 5
)

func workloadOf(key string) workload { return workloads[key[0]] }

// onlyTried tells whether nobody ever waits for the key.
func onlyTried(key string) bool { return key[1] >= '2' && key[0] != 'p' }

// triedWhileIdle tells whether the key is only tried, and each process lingers.
func triedWhileIdle(key string) bool { return key == "m3" }

// sibling tells whether the library has added a key of that name to a lock. What a
// wait group remembers of its operations is not one: only restarts lose that.
func sibling(name, key string) bool {
	return strings.HasPrefix(name, "baton:{"+key+"}:") && key[0] != 'w'
}

// A handle is a hold of whatever kind.
type handle struct {
	fence   func(key string) int64 // nil for peers that have none
	err     func() error           // nil while it is believed in
	release func() error
}

// lockRequest is how to ask for a hold.
type lockRequest struct {
	try, channel bool
	shared       bool
	weight       int32
	keys         []string // of a pool
}

type askFunc = func(context.Context, lockRequest) (handle, error)

// A lockClient is a system's client in a worker.
type lockClient interface {
	request(key string) askFunc
	close()
}

// systems are ours and the control group.
var systems = map[string]func(p *plan) lockClient{
	"baton": openBaton, "redislock": openRedislock, "redsync": openRedsync, "rueidislock": openRueidislock,
}

func chooseShared(c *client, w *lockRequest) {
	if w.weight = all; c.random.IntN(3) > 0 {
		w.shared, w.weight = true, 1
	}
}

func choosePermits(c *client, w *lockRequest) { w.weight = 1 + c.random.Int32N(permits) }

func chooseKeys(c *client, w *lockRequest) {
	w.keys = []string{c.key}
	if other := "p" + string('0'+rune(c.random.IntN(3))); other != c.key {
		w.keys = append(w.keys, other)
	}
}
