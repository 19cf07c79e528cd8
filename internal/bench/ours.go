package main

import (
	"context"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// baton is ours in the lease dialect.
type baton struct{ hangUp }

func openBaton(addr string) (client, error) { return baton{hangUp{dial(addr)}}, nil }

func (b baton) handle(key string) handle { return &batonHandle{m: mutex.New(b.rdb, key)} }

type batonHandle struct {
	m *mutex.Mutex
	l *mutex.Lease
}

func (h *batonHandle) lock(ctx context.Context) (err error) {
	h.l, err = h.m.LockContext(ctx)
	return err
}

func (h *batonHandle) unlock() error { return h.l.Unlock() }

// batonCtx is baton under a ctx of its own, which could be cancelled.
type batonCtx struct {
	baton
	ctx    context.Context
	cancel context.CancelFunc
}

func openBatonCtx(addr string) (client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	return batonCtx{baton{hangUp{dial(addr)}}, ctx, cancel}, nil
}

func (b batonCtx) handle(key string) handle {
	return &batonCtxHandle{batonHandle{m: mutex.New(b.rdb, key)}, b.ctx}
}

func (b batonCtx) close() {
	b.cancel()
	b.baton.close()
}

type batonCtxHandle struct {
	batonHandle
	ctx context.Context
}

func (h *batonCtxHandle) lock(context.Context) error { return h.batonHandle.lock(h.ctx) }

// batonSync is ours in sync's dialect. A Mutex locked so is shared, like sync's,
// by the goroutines of the process: they have one per key.
type batonSync struct {
	hangUp
	shared map[string]*mutex.Mutex
}

func openBatonSync(addr string) (client, error) {
	return batonSync{hangUp{dial(addr)}, map[string]*mutex.Mutex{}}, nil
}

func (b batonSync) handle(key string) handle {
	if b.shared[key] == nil {
		b.shared[key] = mutex.New(b.rdb, key)
	}
	return batonSyncHandle{b.shared[key]}
}

type batonSyncHandle struct{ m *mutex.Mutex }

func (h batonSyncHandle) lock(context.Context) error {
	h.m.Lock()
	return nil
}

func (h batonSyncHandle) unlock() error {
	h.m.Unlock()
	return nil
}
