package gocronlock

import (
	"context"
	"sync"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A run is one run of a job.
type run struct {
	locker *Locker
	job    string
	lease  *mutex.Lease
	once   sync.Once
	done   chan struct{} // closed by Unlock
	ended  chan error    // receives the error of the Once
}

// Unlock marks the job as run. It ignores ctx, which is done after a shutdown of the
// scheduler.
func (r *run) Unlock(context.Context) (err error) {
	err = r.lease.Err()
	r.once.Do(func() {
		r.locker.held.CompareAndDelete(r.job, r.lease)
		close(r.done)
		err = <-r.ended
	})
	return err
}
