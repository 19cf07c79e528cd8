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
	until  time.Time // when it may be unlocked
}

// Unlock returns at once, so that gocron is not kept from its next job, and leaves
// what remains of the time to a timer. It takes no notice of ctx, which has ended
// if the scheduler was shut down: the lock is to be given back then, too.
func (r *run) Unlock(context.Context) error {
	r.locker.held.CompareAndDelete(r.job, r.lease)
	rest := time.Until(r.until)
	if rest <= 0 || r.lease.Err() != nil {
		return r.lease.Unlock()
	}
	// Nobody is there any more for its error, nor minds it: the job was done in time.
	time.AfterFunc(rest, func() { _ = r.lease.Unlock() })
	return nil
}
