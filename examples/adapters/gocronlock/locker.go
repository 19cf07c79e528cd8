// Package gocronlock runs the jobs of gocron v2 in one of many processes. With a [Locker],
// each job runs in one process. With an [Elector], one process runs all jobs.
package gocronlock

import (
	"context"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker implements gocron.Locker for gocron.WithDistributedLocker. If a job is locked,
// Lock fails with mutex.ErrLocked and gocron skips this run. Lock does not wait: after a
// wait the job would run a second time.
type Locker struct {
	pool    *mutex.Pool
	atLeast time.Duration
	held    sync.Map // the *mutex.Lease of each job that runs here, by name
}

// NewLocker returns a Locker that locks jobs by name, and each for at least atLeast. That
// should be longer than clocks differ and shorter than the job's interval. NewLocker raises
// the pool's TTL to atLeast, so that it also holds if the process dies.
func NewLocker(pool *mutex.Pool, atLeast time.Duration) *Locker {
	pool.TTL = max(pool.TTL, atLeast)
	return &Locker{pool: pool, atLeast: atLeast}
}

// Lock locks the job or fails at once.
func (l *Locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	lease, err := l.pool.TryLockContext(ctx, job)
	if err != nil {
		return nil, err
	}
	l.held.Store(job, lease)
	return &run{l, job, lease, time.Now().Add(l.atLeast)}, nil
}

// Context returns a copy of ctx for the job to use: it is canceled, with the cause
// mutex.ErrLost, if the job's lock is lost. gocron itself does not report that.
func (l *Locker) Context(ctx context.Context, job string) (context.Context, context.CancelFunc) {
	lease, ok := l.held.Load(job)
	if !ok {
		lease = new(mutex.Lease) // behaves like a lost lease
	}
	return lease.(*mutex.Lease).Context(ctx)
}
