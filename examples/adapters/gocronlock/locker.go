// Package gocronlock runs the jobs of gocron v2 in one of many processes: by a
// [Locker], each job in whichever comes first, or by an [Elector], all in one.
package gocronlock

import (
	"context"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker is for gocron.WithDistributedLocker. Who finds a job locked skips that
// run of it, with mutex.ErrLocked, and does not wait: it would run it once more.
type Locker struct {
	pool    *mutex.Pool
	atLeast time.Duration
	held    sync.Map // the *mutex.Lease of each job that runs here, by its name
}

// NewLocker locks jobs by their names in the pool, and each for atLeast, though the
// job be done sooner: longer than clocks are apart, shorter than its interval. It
// raises the pool's TTL to that, so that the death of the process shortens nothing.
func NewLocker(pool *mutex.Pool, atLeast time.Duration) *Locker {
	pool.TTL = max(pool.TTL, atLeast)
	return &Locker{pool: pool, atLeast: atLeast}
}

// Lock locks the job, or fails at once.
func (l *Locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	lease, err := l.pool.TryLockContext(ctx, job)
	if err != nil {
		return nil, err
	}
	l.held.Store(job, lease)
	return &run{l, job, lease, time.Now().Add(l.atLeast)}, nil
}

// Context is for a job to call when it begins: gocron does not tell it of the loss
// of its lock, but this ctx is cancelled, with the cause mutex.ErrLost.
func (l *Locker) Context(ctx context.Context, job string) (context.Context, context.CancelFunc) {
	lease, ok := l.held.Load(job)
	if !ok {
		lease = new(mutex.Lease) // not held, which is as good as lost
	}
	return lease.(*mutex.Lease).Context(ctx)
}
