package linear

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// grip is a hold of whatever kind.
type grip struct {
	fence   int64
	err     func() error
	release func() error
}

func grasp(l *mutex.Lease, err error) (grip, error) {
	if err != nil {
		return grip{}, err
	}
	return grip{l.Fence(), l.Err, l.Unlock}, nil
}

func graspPermits(l *semaphore.Lease, err error) (grip, error) {
	if err != nil {
		return grip{}, err
	}
	return grip{l.Fence(), l.Err, l.Release}, nil
}

// open returns what asks for the key.
func open(rdb *redis.Client, key string, ttl time.Duration) func(context.Context, want) (grip, error) {
	switch key[0] {
	case 'm':
		m := mutex.New(rdb, key)
		m.TTL = ttl
		return func(ctx context.Context, w want) (grip, error) {
			switch {
			case w.Try:
				return grasp(m.TryLockContext(ctx))
			case w.Chan:
				r := <-m.LockChan(ctx)
				return grasp(r.Lease, r.Err)
			}
			return grasp(m.LockContext(ctx))
		}
	case 'r':
		m := mutex.NewRW(rdb, key)
		m.TTL = ttl
		return func(ctx context.Context, w want) (grip, error) {
			switch {
			case w.Shared && w.Try:
				return grasp(m.TryRLockContext(ctx))
			case w.Shared && w.Chan:
				r := <-m.RLockChan(ctx)
				return grasp(r.Lease, r.Err)
			case w.Shared:
				return grasp(m.RLockContext(ctx))
			case w.Try:
				return grasp(m.TryLockContext(ctx))
			case w.Chan:
				r := <-m.LockChan(ctx)
				return grasp(r.Lease, r.Err)
			}
			return grasp(m.LockContext(ctx))
		}
	}
	s := semaphore.NewWeighted(rdb, key, permits)
	s.TTL = ttl
	return func(ctx context.Context, w want) (grip, error) {
		switch {
		case w.Try:
			return graspPermits(s.TryAcquireLease(ctx, w.N))
		case w.Chan:
			r := <-s.AcquireChan(ctx, w.N)
			return graspPermits(r.Lease, r.Err)
		}
		return graspPermits(s.AcquireLease(ctx, w.N))
	}
}
