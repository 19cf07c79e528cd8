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

// baton is ours.
type baton struct {
	rdb  redis.UniversalClient
	plan *plan
	made atomic.Int64 // locks, of which every second one lingers
}

// linger is the Linger of the next lock. A key that is only tried has none, except one: while
// messages are lost, a try is refused because of a claim that only lingers, and no order of calls
// explains that. See interval.leaves.
func (b *baton) linger(key string) time.Duration {
	switch {
	case triedWhileIdle(key):
		return b.plan.TTL / 10
	case onlyTried(key):
		return 0
	}
	return time.Duration(b.made.Add(1)%2) * b.plan.TTL / 10
}

func openBaton(p *plan) (lockClient, error) { return &baton{rdb: p.client(), plan: p}, nil }

func (b *baton) close() { _ = b.rdb.Close() }

func (b *baton) request(key string) func(context.Context, lockRequest) (handle, error) {
	switch key[0] {
	case 'm':
		m := mutex.New(b.rdb, key)
		m.TTL, m.Linger = b.plan.TTL, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			return lease(pick(w, m.LockContext, m.TryLockContext, m.LockChan)(ctx))
		}
	case 'e':
		e := mutex.NewElection(b.rdb, key)
		e.TTL, e.Value = b.plan.TTL, key
		return func(ctx context.Context, w lockRequest) (handle, error) {
			var r mutex.TermResult
			if w.channel {
				r = <-e.CampaignChan(ctx)
			} else {
				r.Term, r.Err = e.Campaign(ctx)
			}
			if r.Err != nil {
				return handle{}, r.Err
			}
			return handle{func(string) int64 { return r.Term.Number() }, r.Term.Err, r.Term.Resign}, nil
		}
	case 'p':
		m := mutex.NewPool(b.rdb, "")
		m.TTL, m.Linger = b.plan.TTL, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			return lease(pick(w,
				func(ctx context.Context) (*mutex.Lease, error) { return m.LockContext(ctx, w.keys...) },
				func(ctx context.Context) (*mutex.Lease, error) { return m.TryLockContext(ctx, w.keys...) },
				func(ctx context.Context) <-chan mutex.Result { return m.LockChan(ctx, w.keys...) })(ctx))
		}
	case 'r':
		m := mutex.NewRW(b.rdb, key)
		m.TTL, m.Linger = b.plan.TTL, b.linger(key)
		return func(ctx context.Context, w lockRequest) (handle, error) {
			if w.shared {
				return lease(pick(w, m.RLockContext, m.TryRLockContext, m.RLockChan)(ctx))
			}
			return lease(pick(w, m.LockContext, m.TryLockContext, m.LockChan)(ctx))
		}
	}
	s := semaphore.NewWeighted(b.rdb, key, permits)
	s.TTL, s.Linger = b.plan.TTL, b.linger(key)
	return func(ctx context.Context, w lockRequest) (handle, error) {
		var l *semaphore.Lease
		var err error
		switch {
		case w.try:
			l, err = s.TryAcquireLease(ctx, w.n)
		case w.channel:
			r := <-s.AcquireChan(ctx, w.n)
			l, err = r.Lease, r.Err
		default:
			l, err = s.AcquireLease(ctx, w.n)
		}
		if err != nil {
			return handle{}, err
		}
		return handle{func(string) int64 { return l.Fence() }, l.Err, l.Release}, nil
	}
}

// pick is the way of asking that is wanted.
func pick(w lockRequest, wait, try func(context.Context) (*mutex.Lease, error), channel func(context.Context) <-chan mutex.Result) func(context.Context) (*mutex.Lease, error) {
	switch {
	case w.try:
		return try
	case w.channel:
		return func(ctx context.Context) (*mutex.Lease, error) {
			r := <-channel(ctx)
			return r.Lease, r.Err
		}
	}
	return wait
}

func lease(l *mutex.Lease, err error) (handle, error) {
	if err != nil {
		return handle{}, err
	}
	fence := func(key string) int64 {
		if key[0] == 'p' {
			return l.FenceOf(key)
		}
		return l.Fence()
	}
	return handle{fence, l.Err, l.Unlock}, nil
}

func (b *baton) group(key string) *waitgroup.WaitGroup {
	g := waitgroup.New(b.rdb, key)
	g.TTL = b.plan.TTL
	return g
}

func (b *baton) limiter(key string) *semaphore.Limiter {
	return semaphore.NewLimiter(b.rdb, key, rate, burst)
}

func (b *baton) once(key string) *mutex.Once {
	o := mutex.NewOnce(b.rdb, key)
	o.TTL, o.Every, o.Keep = b.plan.TTL, every, every
	return o
}

func (b *baton) flight(key string) *mutex.Flight {
	fl := mutex.NewFlight(b.rdb, key[:1])
	fl.TTL, fl.Keep = b.plan.TTL, keep
	return fl
}
