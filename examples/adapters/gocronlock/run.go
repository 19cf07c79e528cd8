package gocronlock

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A run is the lock of one run of a job.
type run struct {
	locker *Locker
	job    string
	lease  *mutex.Lease
	until  time.Time // the earliest time to unlock
}

// Unlock returns at once. If the job must stay locked for longer, a timer unlocks it later.
// Unlock ignores ctx, which is done after a shutdown of the scheduler.
func (r *run) Unlock(context.Context) error {
	r.locker.held.CompareAndDelete(r.job, r.lease)
	rest := time.Until(r.until)
	if rest <= 0 || r.lease.Err() != nil {
		return r.lease.Unlock()
	}
	// The error has no receiver, and no meaning: the job has finished in time.
	time.AfterFunc(rest, func() { _ = r.lease.Unlock() })
	return nil
}
