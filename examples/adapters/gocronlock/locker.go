// Package gocronlock runs the jobs of gocron v2 in one of many processes. With a [Locker],
// each job runs in one process. With an [Elector], one process runs all jobs.
package gocronlock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker implements gocron.Locker for gocron.WithDistributedLocker. Each job is a mutex.Once.
// If the job runs, or has run within the interval, Lock fails with mutex.ErrLocked and gocron
// skips this run. If a process dies during a run, the job counts as not run.
type Locker struct {
	// TTL is how long a job stays locked if its process dies.
	TTL time.Duration

	rdb    redis.UniversalClient
	prefix string
	every  time.Duration
	held   sync.Map // job name to *mutex.Lease, for jobs that run in this process
}

// NewLocker returns a Locker whose keys begin with prefix. A job runs at most once per every,
// counted from the start of the run by Redis' clock. It should be longer than the difference of
// the processes' clocks, and shorter than the job's interval.
func NewLocker(rdb redis.UniversalClient, prefix string, every time.Duration) *Locker {
	return &Locker{TTL: mutex.DefaultTTL, rdb: rdb, prefix: prefix, every: every}
}

// Lock starts a run of the job or fails at once.
func (l *Locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	o := mutex.NewOnce(l.rdb, l.prefix+job)
	o.Every, o.Keep, o.TTL = l.every, l.every, l.TTL
	r := &run{locker: l, job: job, done: make(chan struct{}), ended: make(chan error, 1)}
	began := make(chan struct{})
	go func() {
		ran, err := o.TryDo(ctx, func(ctx context.Context) error {
			r.lease = mutex.LeaseFromContext(ctx)
			close(began)
			<-r.done
			return nil
		})
		if !ran && err == nil {
			err = fmt.Errorf("%w: %q has already run", mutex.ErrLocked, l.prefix+job)
		}
		r.ended <- err
	}()
	select {
	case <-began:
		l.held.Store(job, r.lease)
		return r, nil
	case err := <-r.ended:
		return nil, err
	}
}

// Context returns a copy of ctx for the job. It is canceled, with the cause mutex.ErrLost, if
// the job's lock is lost. gocron itself does not report a loss.
func (l *Locker) Context(ctx context.Context, job string) (context.Context, context.CancelFunc) {
	lease, ok := l.held.Load(job)
	if !ok {
		lease = new(mutex.Lease) // behaves like a lost lease
	}
	return lease.(*mutex.Lease).Context(ctx)
}
