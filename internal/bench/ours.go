package main

import (
	"cmp"
	"context"
	"sync"
	"time"

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

// batonCtx is baton under a ctx of its own, which could be cancelled.
type batonCtx struct {
	baton
	ctx    context.Context
	cancel context.CancelFunc
}

func openBatonCtx(addr string, ttl time.Duration) (client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	return batonCtx{newBaton(addr, ttl), ctx, cancel}, nil
}

func (b batonCtx) handle(key string) handle {
	return &batonCtxHandle{leaseHandle{lockContext: b.mutex(key).LockContext}, b.ctx}
}

func (b batonCtx) close() {
	b.cancel()
	b.baton.close()
}

type batonCtxHandle struct {
	leaseHandle
	ctx context.Context
}

func (h *batonCtxHandle) lock(context.Context) error { return h.leaseHandle.lock(h.ctx) }

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
