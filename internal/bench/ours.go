package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// baton is ours, in the lease dialect: lock returns how a handle locks a key.
type baton struct {
	hangUp
	lock func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error)
}

func (b baton) handle(key string) handle { return &leaseHandle{lockContext: b.lock(b.rdb, key)} }

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

func openBaton(addr string) (client, error) {
	return baton{hangUp{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		return mutex.New(rdb, key).LockContext
	}}, nil
}

func openLinger(addr string) (client, error) {
	return baton{hangUp{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		m := mutex.New(rdb, key)
		m.Linger = 50 * time.Millisecond
		return m.LockContext
	}}, nil
}

func openBackground(addr string) (client, error) {
	return baton{hangUp{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		m := mutex.New(rdb, key)
		return func(context.Context) (*mutex.Lease, error) { return m.LockContext(context.Background()) }
	}}, nil
}

// batonRW is our RWMutex. Its handles read; they share one lock, as the goroutines of a process do.
type batonRW struct {
	hangUp
	rw map[string]*mutex.RWMutex
}

func openRW(addr string) (client, error) {
	return batonRW{hangUp{dial(addr)}, map[string]*mutex.RWMutex{}}, nil
}

func (b batonRW) of(key string) *mutex.RWMutex {
	if b.rw[key] == nil {
		b.rw[key] = mutex.NewRW(b.rdb, key)
	}
	return b.rw[key]
}

func (b batonRW) handle(key string) handle { return &leaseHandle{lockContext: b.of(key).RLockContext} }
func (b batonRW) writer(key string) handle { return &leaseHandle{lockContext: b.of(key).LockContext} }

// weighted is our semaphore in the lease dialect.
type weighted struct{ hangUp }

func openWeighted(addr string) (client, error) { return weighted{hangUp{dial(addr)}}, nil }

func (w weighted) handle(key string) handle {
	return &weightedHandle{s: semaphore.NewWeighted(w.rdb, key, permits)}
}

type weightedHandle struct {
	s *semaphore.Weighted
	l *semaphore.Lease
}

func (h *weightedHandle) lock(ctx context.Context) (err error) {
	h.l, err = h.s.AcquireLease(ctx, 1)
	return err
}

func (h *weightedHandle) unlock() error { return h.l.Release() }
