package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that holds or awaits permits: its host, its process id,
// and the label that it has set.
type Owner = lease.Owner

// A Status is what Redis knows of a semaphore at one moment. It is for people
// and for monitoring: by the time it is read, all may be different.
type Status struct {
	Size    int64    // 0 if the key is not in use, so that nobody has set it
	Used    int64    // permits that are held
	Holders []Holder // one for each process that holds some
	More    int      // holders that are not listed: about 1,000 are
	// Waiting is how many processes wait. Those that have died count for 3.6 s.
	Waiting int
	First   Owner // the first of them, which gets permits next
	Wanted  int64 // how many it waits for
}

// A Holder is what one process holds.
type Holder struct {
	Owner
	Permits int64
	// Fence is where the fencing numbers of its last grant begin.
	Fence int64
	Left  time.Duration // how long the hold lasts if it is not renewed
}

// Inspect says who holds permits and who waits for some, by one request that
// changes nothing. It returns when ctx ends, and does not wait for Redis to come
// back.
func (s *Weighted) Inspect(ctx context.Context) (Status, error) {
	if err := s.usable("inspect", 1); err != nil {
		return Status{}, err
	}
	p, err := s.keeper.Inspect(ctx, lease.Name{Kind: lease.Semaphore, Key: s.key})
	if err != nil {
		return Status{}, err
	}
	status := Status{Size: p.Size, Used: p.Used, More: int(p.More), Waiting: p.Waiting, First: p.First, Wanted: p.Wanted}
	for _, h := range p.Holders {
		status.Holders = append(status.Holders, Holder{Owner: h.Owner, Permits: h.Weight, Fence: h.Fence, Left: h.Left})
	}
	return status, nil
}
