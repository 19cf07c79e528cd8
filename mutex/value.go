package mutex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// valueStore is the client of a Once or a Flight.
type valueStore struct {
	store *redisstore.Store
	err   error // why store is nil
}

func newValueStore(rdb redis.UniversalClient) (v valueStore) {
	v.store, v.err = redisstore.StoreFor(rdb)
	return v
}

// usable returns why an operation of the type that New made cannot be executed, or nil.
func (v *valueStore) usable(op, key, kind string, durations ...time.Duration) error {
	var err error
	switch {
	case v.store == nil && v.err == nil:
		return retry.Permanent(fmt.Errorf("baton: %s: the %s was not made by New%s", op, kind, kind))
	case v.store == nil:
		err = v.err
	}
	for _, d := range durations {
		if d < 0 || 0 < d && d < time.Millisecond {
			err = fmt.Errorf("invalid duration %v", d)
		}
	}
	if err == nil {
		return nil
	}
	return retry.Wrap(op, key, retry.Permanent(err))
}

// lock locks the mutex of p and returns what is beside it. If it finds a value of use it
// returns that, and no lease.
func (v *valueStore) lock(ctx context.Context, p lease.Params) (*Lease, lease.ValueReply, error) {
	l := new(Lease)
	err := l.single.Acquire(ctx, v.store.Manager(), &p)
	switch {
	case errors.Is(err, lease.ErrValueFound):
		return nil, p.Value.Found(), nil
	case err != nil:
		return nil, lease.ValueReply{}, err
	}
	reply := p.Value.Granted(l.Fence())
	if reply == nil { // another process or goroutine handed the lock over
		held, stop := l.Context(ctx)
		read, err := v.read(held, p.Key, true)
		stop()
		if err != nil {
			return nil, lease.ValueReply{}, errors.Join(err, l.Unlock())
		}
		reply = &read
	}
	if p.Value.Useful(*reply) {
		_ = l.Unlock()
		return nil, *reply, nil
	}
	return l, *reply, nil
}

func (v *valueStore) read(ctx context.Context, key string, again bool) (lease.ValueReply, error) {
	return retry.Do(ctx, "read", key, again, func(ctx context.Context) (lease.ValueReply, error) {
		return v.store.ReadValue(ctx, key)
	})
}

func (v *valueStore) delete(ctx context.Context, op, key string) error {
	_, err := retry.Do(ctx, op, key, true, func(ctx context.Context) (bool, error) {
		return v.store.DeleteValue(ctx, key)
	})
	return err
}

type leaseKey struct{}

// run calls f with a ctx that ends with the lease, and has it as a value.
func (l *Lease) run(ctx context.Context, f func(context.Context)) {
	ctx, stop := l.Context(context.WithValue(ctx, leaseKey{}, l))
	defer stop()
	f(ctx)
}

// LeaseFromContext returns the lease of a call of a [Once] or a [Flight], inside the function
// of that call. For any other ctx it returns nil. The function can send the lease's Fence with
// what it writes. The lease is released when the function has returned.
func LeaseFromContext(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseKey{}).(*Lease)
	return l
}
