package main

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// leases returns a handle of a lock that returns a mutex.Lease.
func leases(lock func(context.Context) (*mutex.Lease, error)) handle {
	var l *mutex.Lease
	return handle{
		func(ctx context.Context) (err error) {
			l, err = lock(ctx)
			return err
		},
		func() error { return l.Unlock() },
	}
}

// openMutex opens a client of baton's Mutex, with one Mutex per goroutine.
func openMutex(linger time.Duration, lock func(*mutex.Mutex, context.Context) (*mutex.Lease, error)) func(addr string) client {
	return func(addr string) client {
		rdb := dial(addr)
		return client{close: rdb.Close, handle: func(key string) handle {
			m := mutex.New(rdb, key)
			m.Linger = linger
			return leases(func(ctx context.Context) (*mutex.Lease, error) { return lock(m, ctx) })
		}}
	}
}

func inBackground(m *mutex.Mutex, _ context.Context) (*mutex.Lease, error) {
	return m.LockContext(context.Background())
}

// openRW opens a client of baton's RWMutex, with one RWMutex per key. Its handles read.
func openRW(addr string) client {
	rdb, all := dial(addr), map[string]*mutex.RWMutex{}
	of := func(key string) *mutex.RWMutex {
		if all[key] == nil {
			all[key] = mutex.NewRW(rdb, key)
		}
		return all[key]
	}
	return client{
		close:  rdb.Close,
		handle: func(key string) handle { return leases(of(key).RLockContext) },
		writer: func(key string) handle { return leases(of(key).LockContext) },
	}
}

func openWeighted(addr string) client {
	rdb := dial(addr)
	return client{close: rdb.Close, handle: func(key string) handle {
		s := semaphore.NewWeighted(rdb, key, permits)
		var l *semaphore.Lease
		return handle{
			func(ctx context.Context) (err error) {
				l, err = s.AcquireLease(ctx, 1)
				return err
			},
			func() error { return l.Release() },
		}
	}}
}
