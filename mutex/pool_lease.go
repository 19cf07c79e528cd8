package mutex

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// LockContext locks all the keys and returns one lease of them, or locks none and
// returns why. It waits as [Mutex.LockContext] does. A key that is named twice
// counts once.
//
// Keys are locked one after the other, in an order that is the same in every
// process, so that two callers cannot wait for each other, whatever keys they
// name. (Who asks for more while it holds a lease still can.) What is locked
// while the next key is awaited is held and renewed, and keeps others
// waiting. If ctx ends it is given back before LockContext returns. If some
// of it is lost, all is given back, and asked for again.
func (p *Pool) LockContext(ctx context.Context, keys ...string) (*Lease, error) {
	return p.acquire(ctx, "lock", false, keys)
}

// TryLockContext is like LockContext but does not wait for a lock: it returns
// ErrLocked if any of the keys is held or awaited, and then holds none.
func (p *Pool) TryLockContext(ctx context.Context, keys ...string) (*Lease, error) {
	return p.acquire(ctx, "try to lock", true, keys)
}

func (p *Pool) acquire(ctx context.Context, op string, try bool, keys []string) (*Lease, error) {
	full, err := p.all(op, keys)
	if err != nil {
		return nil, err
	}
	l := &Lease{pool: p}
	if params := p.params(full[0], try); len(full) == 1 {
		err = l.hold.Acquire(ctx, p.keeper, &params)
	} else {
		l.group = new(lease.Group)
		err = l.group.Acquire(ctx, p.keeper, params, full)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// LockChan is like LockContext but returns at once, with a channel that receives
// the result. It is made for select, and promises of several keys what
// [Mutex.LockChan] promises of one: exactly one Result is sent, and until that is
// received all keys are given back when ctx ends, or after one TTL. For one key it
// costs no goroutine to wait, for several it costs one.
func (p *Pool) LockChan(ctx context.Context, keys ...string) <-chan Result {
	l := &Lease{pool: p}
	box := lease.NewBox(asked{l})
	full, err := p.all("lock", keys)
	switch {
	case err != nil:
		box.Put(err)
	case len(full) == 1:
		params := p.params(full[0], false)
		l.hold.AcquireChan(ctx, p.keeper, &params, box)
	default:
		l.group = new(lease.Group)
		l.group.AcquireChan(ctx, p.keeper, p.params(full[0], false), full, box)
	}
	return box.C()
}

func (p *Pool) params(key string, try bool) lease.Params {
	return lease.Params{
		Kind: lease.Mutex, Key: key, Label: p.Label, TTL: p.TTL, MaxHold: p.MaxHold, Weight: 1, Try: try, Trace: p.Trace,
	}
}

// all returns the locks of the keys, in the order in which to take them.
func (p *Pool) all(op string, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, lease.Permanent(fmt.Errorf("baton: %s: there are no keys", op))
	}
	locks := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if locks[i], err = p.full(op, key); err != nil {
			return nil, err
		}
	}
	if len(locks) == 1 {
		return locks, nil
	}
	return redisstore.InOrder(locks), nil
}

// full returns the lock of the key, or why there can be none.
func (p *Pool) full(op, key string) (lock string, err error) {
	lock = p.prefix + key
	switch {
	case p.keeper == nil && p.err == nil:
		return "", lease.Permanent(fmt.Errorf("baton: %s: the Pool was not made by NewPool", op))
	case p.keeper == nil:
		err = p.err
	case key == "":
		err = errors.New("the key is empty")
	default:
		err = redisstore.ValidKey(lock)
	}
	if err != nil {
		return "", lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, lock, err))
	}
	return lock, nil
}
