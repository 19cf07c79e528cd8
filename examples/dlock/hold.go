package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A hold is a lease of any kind.
type hold struct {
	lease
	release func() error
	status  int // exit status of the command; set before release
}

type lease interface {
	Done() <-chan struct{}
	Err() error
	Remaining() time.Duration
	Fence() int64
}

// A term is a lease whose fence is its number.
type term struct{ *mutex.Term }

func (t term) Fence() int64 { return t.Number() }

// acquire acquires the lock. It waits until ctx is done, or not at all with -w 0.
func acquire(ctx context.Context, rdb *redis.Client, c config) (*hold, error) {
	switch {
	case c.Once:
		return acquireOnce(ctx, rdb, c)
	case c.Permits > 0:
		s := semaphore.NewWeighted(rdb, c.Name, c.Permits)
		s.TTL, s.Label = c.TTL, c.label()
		get := s.AcquireLease
		if c.Wait == 0 {
			get = s.TryAcquireLease
		}
		l, err := get(ctx, 1)
		if err != nil {
			return nil, err
		}
		return &hold{lease: l, release: l.Release}, nil
	case c.Lead:
		e := mutex.NewElection(rdb, c.Name)
		e.TTL, e.Label, e.Value = c.TTL, c.label(), c.Value
		t, err := e.Campaign(ctx)
		if err != nil {
			return nil, err
		}
		return &hold{lease: term{t}, release: t.Resign}, nil
	case c.Shared, c.Exclusive:
		m := mutex.NewRW(rdb, c.Name)
		m.TTL, m.Label = c.TTL, c.label()
		if c.Shared {
			return locked(ctx, c, m.RLockContext, m.TryRLockContext)
		}
		return locked(ctx, c, m.LockContext, m.TryLockContext)
	default:
		m := mutex.New(rdb, c.Name)
		m.TTL, m.Label = c.TTL, c.label()
		return locked(ctx, c, m.LockContext, m.TryLockContext)
	}
}

func locked(ctx context.Context, c config, lock, try func(context.Context) (*mutex.Lease, error)) (*hold, error) {
	if c.Wait == 0 {
		lock = try
	}
	l, err := lock(ctx)
	if err != nil {
		return nil, err
	}
	return &hold{lease: l, release: l.Unlock}, nil
}
