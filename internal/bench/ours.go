package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// baton is a client of baton's Mutex; lock returns the lock method for a key.
type baton struct {
	goRedis
	lock func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error)
}

func (b baton) handle(key string) handle { return &leaseHandle{lockContext: b.lock(b.rdb, key)} }

// leaseHandle is a handle of a lock that returns a mutex.Lease.
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
	return baton{goRedis{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		return mutex.New(rdb, key).LockContext
	}}, nil
}

func openLinger(addr string) (client, error) {
	return baton{goRedis{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		m := mutex.New(rdb, key)
		m.Linger = 50 * time.Millisecond
		return m.LockContext
	}}, nil
}

func openBackground(addr string) (client, error) {
	return baton{goRedis{dial(addr)}, func(rdb redis.UniversalClient, key string) func(context.Context) (*mutex.Lease, error) {
		m := mutex.New(rdb, key)
		return func(context.Context) (*mutex.Lease, error) { return m.LockContext(context.Background()) }
	}}, nil
}

// batonRW is a client of baton's RWMutex. Its handles read, and share one RWMutex per key.
type batonRW struct {
	goRedis
	rw map[string]*mutex.RWMutex
}

func openRW(addr string) (client, error) {
	return batonRW{goRedis{dial(addr)}, map[string]*mutex.RWMutex{}}, nil
}

func (b batonRW) mutexOf(key string) *mutex.RWMutex {
	if b.rw[key] == nil {
		b.rw[key] = mutex.NewRW(b.rdb, key)
	}
	return b.rw[key]
}

func (b batonRW) handle(key string) handle {
	return &leaseHandle{lockContext: b.mutexOf(key).RLockContext}
}
func (b batonRW) writer(key string) handle {
	return &leaseHandle{lockContext: b.mutexOf(key).LockContext}
}

// weighted is a client of baton's Weighted.
type weighted struct{ goRedis }

func openWeighted(addr string) (client, error) { return weighted{goRedis{dial(addr)}}, nil }

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
