package mutex

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// LockContext locks all the keys and returns one lease, or locks none and returns an
// error. It waits as [Mutex.LockContext] does. Duplicate keys count once.
//
// LockContext first tries all keys at the same time. If some are held, it waits for
// one after the other. All processes wait in the same order, so two calls cannot
// deadlock, whatever keys they name. (A caller that already holds a lease can still
// deadlock.) While LockContext waits for a key, it holds and renews the keys before it.
// If ctx is done, it releases them before it returns. If one of them is lost, it
// releases the rest and starts again.
//
// Each key costs a command to lock and one to unlock, sent in pipelines of up to 128.
// Ten thousand keys are fine; for many more, one key for all of them is better.
func (p *Pool) LockContext(ctx context.Context, keys ...string) (*Lease, error) {
	return p.acquire(ctx, "lock", false, keys)
}

// TryLockContext is like LockContext but does not wait. If any of the keys is held or has
// waiters, it returns ErrLocked and holds none. It may hold the others for a moment, so two
// calls at the same time that share keys can both return ErrLocked. It makes a single
// attempt, as [Mutex.TryLockContext] does.
func (p *Pool) TryLockContext(ctx context.Context, keys ...string) (*Lease, error) {
	return p.acquire(ctx, "try to lock", true, keys)
}

func (p *Pool) acquire(ctx context.Context, op string, try bool, keys []string) (*Lease, error) {
	locks, err := p.lockKeys(op, keys)
	if err != nil {
		return nil, err
	}
	l := &Lease{pool: p}
	params := p.params(locks[0], try)
	if len(locks) == 1 {
		err = l.single.Acquire(ctx, p.manager, &params)
	} else {
		l.multi = new(lease.MultiLease)
		err = l.multi.Acquire(ctx, p.manager, params, locks)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// LockChan is like LockContext but returns at once, with a channel that receives the
// result. For several keys it promises what [Mutex.LockChan] promises for one: exactly
// one Result. If the Result is not received, all keys are released when ctx is done or
// after one TTL. Waiting uses no goroutine for one key, and one goroutine for several.
func (p *Pool) LockChan(ctx context.Context, keys ...string) <-chan Result {
	l := &Lease{pool: p}
	ch := result.NewChan(leaseBuilder{l})
	locks, err := p.lockKeys("lock", keys)
	switch {
	case err != nil:
		ch.Send(err)
	case len(locks) == 1:
		params := p.params(locks[0], false)
		l.single.AcquireChan(ctx, p.manager, &params, ch)
	default:
		l.multi = new(lease.MultiLease)
		l.multi.AcquireChan(ctx, p.manager, p.params(locks[0], false), locks, ch)
	}
	return ch.C()
}

func (p *Pool) params(key string, try bool) lease.Params {
	return lease.Params{
		Kind: lease.Mutex, Key: key, Label: p.Label, TTL: p.TTL, MaxHold: p.MaxHold, Weight: 1, Try: try, Trace: p.Trace.hooks(),
		Replicas: p.Replicas, ReplicaTimeout: p.ReplicaTimeout,
		NotifyContention: p.NotifyContention, Linger: p.Linger,
	}
}

// lockKeys returns the locks of the keys, in the order in which to acquire them.
func (p *Pool) lockKeys(op string, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, retry.Permanent(fmt.Errorf("baton: %s: no keys", op))
	}
	locks := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if locks[i], err = p.lockKey(op, key); err != nil {
			return nil, err
		}
	}
	if len(locks) == 1 {
		return locks, nil
	}
	return redisstore.LockOrder(locks), nil
}

// lockKey returns the lock of key, or an error if the key is invalid.
func (p *Pool) lockKey(op, key string) (lock string, err error) {
	lock = p.prefix + key
	switch {
	case p.manager == nil && p.err == nil:
		return "", retry.Permanent(fmt.Errorf("baton: %s: the Pool was not made by NewPool", op))
	case p.manager == nil:
		err = p.err
	case key == "":
		err = errors.New("the key is empty")
	default:
		err = redisstore.ValidKey(lock)
	}
	if err != nil {
		return "", retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, lock, err))
	}
	return lock, nil
}
