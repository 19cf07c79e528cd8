package main

import (
	"cmp"
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// permits is the size of the semaphores.
const permits = 16

// weighted is our semaphore in the lease dialect.
type weighted struct {
	hangUp
	ttl time.Duration
}

func openWeighted(addr string, ttl time.Duration) (client, error) {
	return weighted{hangUp{dial(addr)}, cmp.Or(ttl, semaphore.DefaultTTL)}, nil
}

func (w weighted) handle(key string) handle { return &weightedHandle{s: w.semaphore(key)} }

func (w weighted) semaphore(key string) *semaphore.Weighted {
	s := semaphore.NewWeighted(w.rdb, key, permits)
	s.TTL = w.ttl
	return s
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

// weightedSync is the same in the dialect of x/sync.
type weightedSync struct{ weighted }

func openWeightedSync(addr string, ttl time.Duration) (client, error) {
	return weightedSync{weighted{hangUp{dial(addr)}, cmp.Or(ttl, semaphore.DefaultTTL)}}, nil
}

func (w weightedSync) handle(key string) handle { return weightedSyncHandle{w.semaphore(key)} }

type weightedSyncHandle struct{ s *semaphore.Weighted }

func (h weightedSyncHandle) lock(ctx context.Context) error { return h.s.Acquire(ctx, 1) }

func (h weightedSyncHandle) unlock() error {
	h.s.Release(1)
	return nil
}
