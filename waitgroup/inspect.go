package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that has a task: its host, its process id, and the label
// that it has set.
type Owner = lease.Owner

// A Status is what Redis knows of a group at one moment. It is for people and
// for monitoring: by the time it is read, all may be different.
type Status struct {
	Round     int64     // its number, which grows; 0 if there is no group
	Count     int64     // what has been added and neither done nor joined
	Abandoned int64     // tasks of the round that were
	Tasks     []Running // those that are running
	More      int       // tasks that are not listed: 1,000 are
}

// Left is what is left of the round.
func (s Status) Left() int64 { return s.Count + int64(len(s.Tasks)+s.More) }

// Running is a task that somebody has.
type Running struct {
	Owner
	Left time.Duration // how long it lives if it is not renewed
}

// Inspect says how far the group is and who has its tasks, by one request that
// changes nothing. It returns when ctx ends, and does not wait for Redis to come
// back.
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
