package mutex

import (
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// A Pool has a mutex for every key, for example for every account number. It is
// not a [sync.Pool]. The lock of a key works as a [Mutex] does. It is the same lock as
// a Mutex for prefix+key. Most callers should use Lock and Unlock, or
// [Pool.LockContext], which can lock several keys at once.
//
// A key that is neither held nor awaited uses no memory. All it leaves in Redis is
// its last fencing token, which expires after an hour.
//
// The memory model of [Mutex] applies to each key. A Pool must be created by
// [NewPool] and must not be copied after first use. There is nothing to close.
type Pool struct {
	// TTL, MaxHold, Linger, Label, NotifyContention and Trace are as for a [Mutex]. For
	// several keys, MaxHold counts from the moment all are held. Each key lingers by
	// itself. Set them before first use.
	TTL              time.Duration
	MaxHold          time.Duration
	Linger           time.Duration
	Label            string
	NotifyContention bool
	Trace            *Trace

	// Replicas and ReplicaTimeout are as for a [Mutex].
	Replicas       int
	ReplicaTimeout time.Duration

	prefix  string
	manager *lease.Manager
	err     error // why manager is nil

	mu      sync.Mutex
	entries client.Map[string, *entry] // of the keys that are in use without a lease
}

// An entry is the mutex of a key, with the number of callers that wait for it or hold
// it by Lock or TryLock. The last one removes it.
type entry struct {
	Mutex
	users int
}

// NewPool returns a pool. Its lock for key is the same as that of New(rdb, prefix+key). With
// the prefix "account:", the key "7" locks "account:7". If the prefix contains a hash
// tag, such as "{account}:", all keys share one slot of a cluster. A key must not be
// empty, and prefix+key must not start with "baton:{".
func NewPool(rdb redis.UniversalClient, prefix string) *Pool {
	p := &Pool{TTL: DefaultTTL, prefix: prefix}
	p.manager, p.err = redisstore.ManagerFor(rdb)
	return p
}

// Lock locks key. See [Mutex.Lock].
func (p *Pool) Lock(key string) {
	e := p.refEntry(key)
	locked := false
	defer func() {
		if !locked { // it panics
			p.unrefEntry(key, e)
		}
	}()
	e.Lock()
	locked = true
}

// TryLock tries to lock key and reports whether it succeeded. See [Mutex.TryLock].
func (p *Pool) TryLock(key string) (locked bool) {
	e := p.refEntry(key)
	defer func() {
		if !locked {
			p.unrefEntry(key, e)
		}
	}()
	return e.TryLock()
}

// Unlock unlocks key. It panics if key is not locked by Lock or TryLock of this Pool.
// See [Mutex.Unlock].
func (p *Pool) Unlock(key string) {
	p.mu.Lock()
	e := p.entries.Entries[key]
	p.mu.Unlock()
	if e == nil {
		panic(fmt.Sprintf("baton: unlock of unlocked mutex %q", p.prefix+key))
	}
	e.Unlock()
	p.unrefEntry(key, e)
}

// refEntry adds a user to the entry of key.
func (p *Pool) refEntry(key string) *entry {
	lock, err := p.lockKey("lock", key)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries.Entries[key]
	if e == nil {
		e = &entry{Mutex: Mutex{
			TTL: p.TTL, MaxHold: p.MaxHold, Label: p.Label, Linger: p.Linger, NotifyContention: p.NotifyContention, Trace: p.Trace, Replicas: p.Replicas, ReplicaTimeout: p.ReplicaTimeout,
			key: lock, manager: p.manager, entered: make(chan struct{}, 1),
		}}
		p.entries.Set(key, e)
	}
	e.users++
	return e
}

// unrefEntry removes a user from the entry of key.
func (p *Pool) unrefEntry(key string, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.users--; e.users == 0 {
		p.entries.Delete(key)
	}
}
