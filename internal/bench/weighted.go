package main

import (
	"context"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// permits is the size of the semaphores.
const permits = 16

// weighted is our semaphore in the lease dialect.
type weighted struct{ hangUp }

func openWeighted(addr string) (client, error) {
	return weighted{hangUp{dial(addr)}}, nil
}

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
