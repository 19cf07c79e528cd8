package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// baton is ours in the lease dialect.
type baton struct{ hangUp }

func openBaton(addr string) (client, error) { return newBaton(addr), nil }

func newBaton(addr string) baton { return baton{hangUp{dial(addr)}} }

func (b baton) handle(key string) handle {
	return &leaseHandle{lockContext: mutex.New(b.rdb, key).LockContext}
}

// lingerName is the system that lingers.
const lingerName = "baton-linger"

// batonLinger is baton with Linger.
type batonLinger struct{ baton }

func openBatonLinger(addr string) (client, error) {
	return batonLinger{newBaton(addr)}, nil
}

func (b batonLinger) handle(key string) handle {
	m := mutex.New(b.rdb, key)
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

func openBatonBackground(addr string) (client, error) {
	return batonBackground{newBaton(addr)}, nil
}

func (b batonBackground) handle(key string) handle {
	m := mutex.New(b.rdb, key)
	return &leaseHandle{lockContext: func(context.Context) (*mutex.Lease, error) {
		return m.LockContext(context.Background())
	}}
}

// openBatonTimeouts opens baton on a client whose calls end with their ctx.
func openBatonTimeouts(addr string) (client, error) {
	o := options(addr)
	o.ContextTimeoutEnabled = true
	return baton{hangUp{redis.NewUniversalClient(o)}}, nil
}
