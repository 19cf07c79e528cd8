package main

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// baton is ours in the lease dialect.
type baton struct {
	hangUp
	ttl time.Duration
}

func openBaton(addr string, ttl time.Duration) (client, error) { return newBaton(addr, ttl), nil }

func newBaton(addr string, ttl time.Duration) baton {
	return baton{hangUp{dial(addr)}, cmp.Or(ttl, mutex.DefaultTTL)}
}

func (b baton) handle(key string) handle { return &leaseHandle{lockContext: b.mutex(key).LockContext} }

func (b baton) mutex(key string) *mutex.Mutex {
	m := mutex.New(b.rdb, key)
	m.TTL = b.ttl
	return m
}

// lingerName is the system that lingers.
const lingerName = "baton-linger"

// batonLinger is baton with Linger.
type batonLinger struct{ baton }

func openBatonLinger(addr string, ttl time.Duration) (client, error) {
	return batonLinger{newBaton(addr, ttl)}, nil
}

func (b batonLinger) handle(key string) handle {
	m := b.mutex(key)
	m.Linger = 50 * time.Millisecond
	return &leaseHandle{lockContext: m.LockContext}
}

// leaseHandle is any of our locks that give a lease.
type leaseHandle struct {
	lockContext func(context.Context) (*mutex.Lease, error)
	l           *mutex.Lease
}

func (h *leaseHandle) lock(ctx context.Context) (err error) {
	h.l, err = h.lockContext(ctx)
	return err
}

func (h *leaseHandle) unlock() error { return h.l.Unlock() }

// batonBackground is baton with a ctx that cannot end.
type batonBackground struct{ baton }

func openBatonBackground(addr string, ttl time.Duration) (client, error) {
	return batonBackground{newBaton(addr, ttl)}, nil
}

func (b batonBackground) handle(key string) handle {
	m := b.mutex(key)
	return &leaseHandle{lockContext: func(context.Context) (*mutex.Lease, error) {
		return m.LockContext(context.Background())
	}}
}

// openBatonTimeouts opens baton on a client whose calls end with their ctx.
func openBatonTimeouts(addr string, ttl time.Duration) (client, error) {
	o := options(addr)
	o.ContextTimeoutEnabled = true
	return baton{hangUp{redis.NewUniversalClient(o)}, cmp.Or(ttl, mutex.DefaultTTL)}, nil
}

// batonSync is ours in sync's dialect. A Mutex locked so is shared, like sync's,
// by the goroutines of the process: they have one per key.
type batonSync struct {
	baton
	shared map[string]*mutex.Mutex
}

func openBatonSync(addr string, ttl time.Duration) (client, error) {
	return batonSync{newBaton(addr, ttl), map[string]*mutex.Mutex{}}, nil
}

func (b batonSync) handle(key string) handle {
	if b.shared[key] == nil {
		b.shared[key] = b.mutex(key)
	}
	return syncHandle{b.shared[key]}
}

// syncHandle is any of our locks in sync's dialect.
type syncHandle struct{ sync.Locker }

func (h syncHandle) lock(context.Context) error {
	h.Lock()
	return nil
}

func (h syncHandle) unlock() error {
	h.Unlock()
	return nil
}
