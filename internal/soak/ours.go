package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// baton is the client of baton.
type baton struct {
	rdb  redis.UniversalClient
	plan *plan
	made atomic.Int64 // number of locks so far; every second one lingers
}

func openBaton(p *plan) lockClient { return &baton{rdb: p.client(), plan: p} }

func (b *baton) close() { _ = b.rdb.Close() }

func (b *baton) request(key string) acquireFunc { return workloadOf(key).lock(b, key) }

// linger returns the Linger of the next lock. Keys that are only tried have none, except one: while
// messages are lost, a lingering claim makes a try fail, which no order of calls explains. See
// interval.excusesTriesUntil.
func (b *baton) linger(key string) time.Duration {
	switch {
	case triedWhileIdle(key):
		return b.plan.TTL / 10
	case onlyTried(key):
		return 0
	}
	return time.Duration(b.made.Add(1)%2) * b.plan.TTL / 10
}

// acquire acquires in the requested way: by waiting, by trying, or by a channel.
func acquire[L any, R any](ctx context.Context, w lockRequest, wait, try func(context.Context) (L, error), channel func(context.Context) <-chan R, received func(R) (L, error)) (L, error) {
	switch {
	case w.try:
		return try(ctx)
	case w.channel:
		return received(<-channel(ctx))
	}
	return wait(ctx)
}

func lease(ctx context.Context, w lockRequest, wait, try func(context.Context) (*mutex.Lease, error), channel func(context.Context) <-chan mutex.Result) (handle, error) {
	l, err := acquire(ctx, w, wait, try, channel, func(r mutex.Result) (*mutex.Lease, error) { return r.Lease, r.Err })
	if err != nil {
		return handle{}, err
	}
	fence := func(string) int64 { return l.Fence() }
	if w.keys != nil {
		fence = l.FenceOf
	}
	return handle{fence, l.Err, l.Unlock}, nil
}

func lockMutex(b *baton, key string) acquireFunc {
	m := mutex.New(b.rdb, key)
	m.TTL, m.Linger = b.plan.TTL, b.linger(key)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		return lease(ctx, w, m.LockContext, m.TryLockContext, m.LockChan)
	}
}

func lockPool(b *baton, key string) acquireFunc {
	m := mutex.NewPool(b.rdb, "")
	m.TTL, m.Linger = b.plan.TTL, b.linger(key)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		return lease(ctx, w,
			func(ctx context.Context) (*mutex.Lease, error) { return m.LockContext(ctx, w.keys...) },
			func(ctx context.Context) (*mutex.Lease, error) { return m.TryLockContext(ctx, w.keys...) },
			func(ctx context.Context) <-chan mutex.Result { return m.LockChan(ctx, w.keys...) })
	}
}

func lockRW(b *baton, key string) acquireFunc {
	m := mutex.NewRW(b.rdb, key)
	m.TTL, m.Linger = b.plan.TTL, b.linger(key)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		if w.shared {
			return lease(ctx, w, m.RLockContext, m.TryRLockContext, m.RLockChan)
		}
		return lease(ctx, w, m.LockContext, m.TryLockContext, m.LockChan)
	}
}

func acquirePermits(b *baton, key string) acquireFunc {
	s := semaphore.NewWeighted(b.rdb, key, permits)
	s.TTL, s.Linger = b.plan.TTL, b.linger(key)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		n := int64(w.weight)
		l, err := acquire(ctx, w,
			func(ctx context.Context) (*semaphore.Lease, error) { return s.AcquireLease(ctx, n) },
			func(ctx context.Context) (*semaphore.Lease, error) { return s.TryAcquireLease(ctx, n) },
			func(ctx context.Context) <-chan semaphore.Result { return s.AcquireChan(ctx, n) },
			func(r semaphore.Result) (*semaphore.Lease, error) { return r.Lease, r.Err })
		if err != nil {
			return handle{}, err
		}
		return handle{func(string) int64 { return l.Fence() }, l.Err, l.Release}, nil
	}
}

func campaign(b *baton, key string) acquireFunc {
	e := mutex.NewElection(b.rdb, key)
	e.TTL, e.Value = b.plan.TTL, key
	return func(ctx context.Context, w lockRequest) (handle, error) {
		t, err := acquire(ctx, w, e.Campaign, e.Campaign, e.CampaignChan, func(r mutex.TermResult) (*mutex.Term, error) { return r.Term, r.Err })
		if err != nil {
			return handle{}, err
		}
		return handle{func(string) int64 { return t.Number() }, t.Err, t.Resign}, nil
	}
}

func (b *baton) group(key string) *waitgroup.WaitGroup {
	g := waitgroup.New(b.rdb, key)
	g.TTL = b.plan.TTL
	return g
}

func (b *baton) limiter(key string) *semaphore.Limiter {
	return semaphore.NewLimiter(b.rdb, key, rate, burst)
}
