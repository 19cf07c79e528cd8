package main

import "strings"

// keys are what the workers contend for. The first letter tells the primitive:
// mutex, pool, reader/writer lock, semaphore (of permits), wait group, limiter, election, Once, Flight. Of
// those that end in 1 some holds outlast the TTL, and live by renewal. Nobody waits for
// a lock that ends in 2 or 3, so that a refused try says that somebody held it, or, of one that
// ends in 3, had a claim that lingered.
var keys = []string{"m0", "m1", "m2", "m3", "p0", "p1", "p2", "r0", "r1", "r2", "s0", "s1", "w0", "l0", "e0", "e1", "o0", "f0"}

const (
	permits = 3    // of a semaphore
	all     = 1000 // of a reader/writer lock: a writer takes all, a reader 1
	rate    = 40   // of the limiter, events a second
	burst   = 5
)

// primitives are the names of the flag, by the letter of their keys.
var primitives = map[string]byte{"mutex": 'm', "pool": 'p', "rwmutex": 'r', "semaphore": 's', "waitgroup": 'w', "limiter": 'l',
	"election": 'e', "once": 'o', "flight": 'f'}

// holdable tells whether exclusion means something for the key.
func holdable(key string) bool { return strings.IndexByte("mprseof", key[0]) >= 0 }

// onlyTried tells whether nobody ever waits for the key.
func onlyTried(key string) bool { return key == "m2" || key == "r2" || triedWhileIdle(key) }

// triedWhileIdle tells whether the key is only tried, and each process lingers.
func triedWhileIdle(key string) bool { return key == "m3" }

// exclusive tells whether fences order the holds of the key.
func exclusive(key string) bool { return strings.IndexByte("mpreof", key[0]) >= 0 }

// capacity is the weight of all holds that may be believed in at a time.
func capacity(key string) int32 {
	switch key[0] {
	case 'r':
		return all
	case 's':
		return permits
	}
	return 1
}

// sibling tells whether the library has added a key of that name to a lock. What a
// wait group remembers of its operations is not one: only restarts lose that.
func sibling(name, key string) bool {
	return strings.HasPrefix(name, "baton:{"+key+"}:") && key[0] != 'w'
}
