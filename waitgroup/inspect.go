package waitgroup

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// An Owner is the process that runs a task: its host, PID and label.
type Owner struct {
	Host  string
	PID   int
	Label string // the field of the WaitGroup, truncated
	Token string // the token stored in Redis
}

// String returns "label (host, pid 7)", or as much of that as is known.
func (o Owner) String() string { return client.Owner(o).String() }

// A Status is what Redis knows about a group, for people and for monitoring. It may be
// stale by the time it is returned.
type Status struct {
	Generation int64        // its number, which grows; 0 if the group does not exist
	Count      int64        // added, and neither done nor claimed
	Abandoned  int64        // abandoned tasks of this generation
	Tasks      []TaskStatus // running tasks
	MoreTasks  int          // number of further tasks; 1,000 are listed
}

// Outstanding returns what the generation still waits for: Count and the running tasks.
func (s Status) Outstanding() int64 { return s.Count + int64(len(s.Tasks)+s.MoreTasks) }

// A TaskStatus is one running task.
type TaskStatus struct {
	Owner
	Remaining time.Duration // until the task expires; a renewal extends it
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
	s := Status{Generation: p.Generation, Count: p.Count, Abandoned: p.Abandoned, MoreTasks: int(p.MoreTasks)}
	for _, t := range p.Tasks {
		s.Tasks = append(s.Tasks, TaskStatus{Owner(t.Owner), t.Remaining})
	}
	return s, nil
}
