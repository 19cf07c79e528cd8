package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that runs a task: its host, PID and label.
type Owner = lease.Owner

// A Status is what Redis knows about a group, for people and for monitoring. It may be
// stale by the time it is returned.
type Status struct {
	Round     int64     // its number, which grows; 0 if the group does not exist
	Count     int64     // added, and neither done nor claimed
	Abandoned int64     // abandoned tasks of this generation
	Tasks     []Running // running tasks
	More      int       // number of further tasks; 1,000 are listed
}

// Outstanding returns what the generation still waits for: Count and the running tasks.
func (s Status) Left() int64 { return s.Count + int64(len(s.Tasks)+s.More) }

// A TaskStatus is one running task.
type Running struct {
	Owner
	Left time.Duration // until the task expires, unless it is renewed
}

// Inspect returns the counter and the running tasks. It makes one read-only request and
// does not retry while Redis is unreachable.
func (wg *WaitGroup) Inspect(ctx context.Context) (Status, error) {
	if wg.session == nil {
		return Status{}, wg.unusable("inspect")
	}
	p, err := wg.session.Inspect(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{Round: p.Round, Count: p.Count, Abandoned: p.Lost, More: int(p.More)}
	for _, h := range p.Holders {
		s.Tasks = append(s.Tasks, Running{h.Owner, h.Left})
	}
	return s, nil
}
