package mutex

import (
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// A Pool is a mutex for each of any number of keys, such as the ids of accounts.
// Each works as a [Mutex] does, with the same promises, and is the same lock as
// the Mutex of that name: most callers want Lock and Unlock, or
// [Pool.LockContext], which also locks several keys at once.
//
// A key that is neither held nor awaited costs nothing: no memory here, and
// nothing in Redis but its last fencing number, which expires after an hour.
//
// A Pool is made by [NewPool] and must not be copied after first use. It needs no
// Close.
type Pool struct {
	// TTL, MaxHold, Label and Trace are as those of a [Mutex]. Of several keys, MaxHold
	// counts from when all are held. Set them before first use.
	TTL     time.Duration
	MaxHold time.Duration
	Label   string
	Trace   *Trace

	prefix string
	keeper *lease.Keeper
	err    error // why there is no keeper

	mu      sync.Mutex
	entries lease.Map[string, *entry] // of the keys that are in use without a lease
}

// An entry is the mutex of a key and its number of users: who waits in Lock or
// TryLock, and who has been let in. The last one removes it.
type entry struct {
	Mutex
	users int
}

// NewPool returns a pool whose lock for a key is that of [New] for prefix+key,
// with nothing put between them: so "account:" makes "account:7" of "7". With a
// prefix that has a hashtag, as "{account}:", all keys are in one slot of a
// cluster. A key may hold anything, but must not be empty, nor begin with
// "baton:{" once it is joined.
func NewPool(rdb redis.UniversalClient, prefix string) *Pool {
	p := &Pool{TTL: DefaultTTL, prefix: prefix}
	p.keeper, p.err = redisstore.Keeper(rdb)
	return p
}

// Lock locks the key, as [Mutex.Lock] does.
func (p *Pool) Lock(key string) {
	e := p.join(key)
	locked := false
	defer func() {
		if !locked { // it panics
			p.leave(key, e)
		}
	}()
	e.Lock()
	locked = true
}

// TryLock tries to lock the key, as [Mutex.TryLock] does.
func (p *Pool) TryLock(key string) (locked bool) {
	e := p.join(key)
	defer func() {
		if !locked {
			p.leave(key, e)
		}
	}()
	return e.TryLock()
}

// Unlock unlocks the key, as [Mutex.Unlock] does. It panics if the key is not
// locked by Lock or TryLock of this Pool.
func (p *Pool) Unlock(key string) {
	p.mu.Lock()
	e := p.entries.M[key]
	p.mu.Unlock()
	if e == nil {
		panic(fmt.Sprintf("baton: unlock of unlocked mutex %q", p.prefix+key))
	}
	e.Unlock()
	p.leave(key, e)
}

// join makes the caller a user of the key's entry.
func (p *Pool) join(key string) *entry {
	full, err := p.full("lock", key)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries.M[key]
	if e == nil {
		e = &entry{Mutex: Mutex{
			TTL: p.TTL, MaxHold: p.MaxHold, Label: p.Label, Trace: p.Trace, key: full, keeper: p.keeper, inside: make(chan struct{}, 1),
		}}
		p.entries.Set(key, e)
	}
	e.users++
	return e
}

// leave undoes join.
func (p *Pool) leave(key string, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.users--; e.users == 0 {
		p.entries.Delete(key)
	}
}
