package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// baton is the client of baton.
type baton struct {
	rdb  redis.UniversalClient
	ttl  time.Duration
	made atomic.Int64 // number of locks so far; every second one lingers
}

func openBaton(w *worker) func(key string) acquireFunc {
	return (&baton{rdb: w.rdb, ttl: w.plan.TTL}).request
}

// request returns a function that acquires the key with a lock of its own.
func (b *baton) request(key string) acquireFunc {
	switch key[0] {
	case 'm':
		m := mutex.New(b.rdb, key)
		m.TTL, m.Linger = b.ttl, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			return lease(ctx, w, m.LockContext, m.TryLockContext, m.LockChan)
		}
	case 'p':
		m := mutex.NewPool(b.rdb, "")
		m.TTL, m.Linger = b.ttl, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			return lease(ctx, w,
				func(ctx context.Context) (*mutex.Lease, error) { return m.LockContext(ctx, w.keys...) },
				func(ctx context.Context) (*mutex.Lease, error) { return m.TryLockContext(ctx, w.keys...) },
				func(ctx context.Context) <-chan mutex.Result { return m.LockChan(ctx, w.keys...) })
		}
	case 'r':
		m := mutex.NewRW(b.rdb, key)
		m.TTL, m.Linger = b.ttl, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			if w.shared {
				return lease(ctx, w, m.RLockContext, m.TryRLockContext, m.RLockChan)
			}
			return lease(ctx, w, m.LockContext, m.TryLockContext, m.LockChan)
		}
	case 's':
		s := semaphore.NewWeighted(b.rdb, key, permits)
		s.TTL, s.Linger = b.ttl, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			n := int64(w.weight)
			return acquire(ctx, w,
				func(ctx context.Context) (*semaphore.Lease, error) { return s.AcquireLease(ctx, n) },
				func(ctx context.Context) (*semaphore.Lease, error) { return s.TryAcquireLease(ctx, n) },
				func(ctx context.Context) <-chan semaphore.Result { return s.AcquireChan(ctx, n) },
				func(r semaphore.Result) (*semaphore.Lease, error) { return r.Lease, r.Err },
				func(l *semaphore.Lease) handle {
					return handle{func(string) int64 { return l.Fence() }, l.Err, l.Release}
				})
		}
	}
	e := mutex.NewElection(b.rdb, key)
	e.TTL, e.Value = b.ttl, key
	return func(ctx context.Context, w lockRequest) (handle, error) {
		return acquire(ctx, w, e.Campaign, e.Campaign, e.CampaignChan,
			func(r mutex.TermResult) (*mutex.Term, error) { return r.Term, r.Err },
			func(t *mutex.Term) handle {
				return handle{func(string) int64 { return t.Number() }, t.Err, t.Resign}
			})
	}
}

// linger returns the Linger of the next lock. Keys that are only tried have none, except one: while
// messages are lost, a lingering claim makes a try fail, which no order of calls explains. See
// interval.excusesTriesUntil.
func (b *baton) linger(key string) time.Duration {
	switch {
	case triedWhileIdle(key):
		return b.ttl / 10
	case onlyTried(key):
		return 0
	}
	return time.Duration(b.made.Add(1)%2) * b.ttl / 10
}

func lease(ctx context.Context, w lockRequest, wait, try func(context.Context) (*mutex.Lease, error), channel func(context.Context) <-chan mutex.Result) (handle, error) {
	return acquire(ctx, w, wait, try, channel,
		func(r mutex.Result) (*mutex.Lease, error) { return r.Lease, r.Err },
		func(l *mutex.Lease) handle { return handle{l.FenceOf, l.Err, l.Unlock} })
}

// acquire acquires in the requested way: by waiting, by trying, or by a channel.
func acquire[L, R any](ctx context.Context, w lockRequest, wait, try func(context.Context) (L, error), channel func(context.Context) <-chan R,
	received func(R) (L, error), hold func(L) handle) (handle, error) {
	var l L
	var err error
	switch {
	case w.try:
		l, err = try(ctx)
	case w.channel:
		l, err = received(<-channel(ctx))
	default:
		l, err = wait(ctx)
	}
	if err != nil {
		return handle{}, err
	}
	return hold(l), nil
}
