package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that holds or awaits permits: its host, PID and label.
type Owner = lease.Owner

// A Status is what Redis knows about a semaphore, for people and for monitoring. It may
// be stale by the time it is returned.
type Status struct {
	Size        int64    // 0 if the key is not in use
	Used        int64    // permits that are held
	Holders     []Holder // one for each process that holds permits
	MoreHolders int      // number of further holders; about 1,000 are listed
	// Waiters is the number of waiting processes. A dead process counts for up to 3.6 s.
	Waiters     int
	Next        Owner // the first waiter, which gets permits next
	NextPermits int64 // how many permits it waits for
}

// A Holder is the hold of one process.
type Holder struct {
	Owner
	Permits int64
	// Fence is the first fence of the process's last grant.
	Fence     int64
	Remaining time.Duration // until the hold expires, unless it is renewed
}

// Inspect returns the size, the holders and the number of waiters. It makes one
// read-only request and does not retry while Redis is unreachable.
func (s *Weighted) Inspect(ctx context.Context) (Status, error) {
	if err := s.usable("inspect", nil); err != nil {
		return Status{}, err
	}
	p, err := s.manager.Inspect(ctx, lease.Name{Kind: lease.Semaphore, Key: s.key})
	if err != nil {
		return Status{}, err
	}
	status := Status{Size: p.Size, Used: p.Used, MoreHolders: int(p.MoreHolders), Waiters: p.Waiters, Next: p.Next, NextPermits: p.NextPermits}
	for _, h := range p.Holders {
		status.Holders = append(status.Holders, Holder{Owner: h.Owner, Permits: h.Weight, Fence: h.Fence, Remaining: h.Remaining})
	}
	return status, nil
}
