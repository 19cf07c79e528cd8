package mutex

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that holds or awaits a lock: its host, its process id,
// and the label that it has set. Of a lock that is not one of this library's only
// the Token is known, which is what Redis has.
type Owner = lease.Owner

// A Status is what Redis knows of a lock at one moment. It is for people and
// for monitoring: by the time it is read, all may be different.
type Status struct {
	// Holders has who holds it, if anybody does: of a Mutex one, of a RWMutex one
	// for each process that reads, or the one that writes.
	Holders []Holder
	// More is the number of holders that are not listed: about 1,000 are.
	More int
	// Waiting is how many processes wait. Those that have died count for 3.6 s.
	Waiting int
	// First is the first of them, which gets the lock next.
	First Owner
}

// Held reports whether anybody holds the lock.
func (s Status) Held() bool { return len(s.Holders) > 0 }

// A Holder is one process' hold on a lock.
type Holder struct {
	Owner
	Read bool // it reads: others may, too
	// Fence is where the fencing numbers of this turn of the process begin. Those of
	// its goroutines, one after the other, count on from it, for 1024 at most.
	Fence int64
	// Left is how long the hold lasts if it is not renewed. It is negative for a lock
	// that is not one of ours and does not expire.
	Left time.Duration
}

// Inspect says who holds the lock and who waits for it, by one request that
// changes nothing. It returns when ctx ends, and does not wait for Redis to
// come back.
func (m *Mutex) Inspect(ctx context.Context) (Status, error) {
	return status(ctx, m.keeper, m.usable(inspecting), lease.Mutex, m.key)
}

// Inspect says who holds the lock and who waits for it, as [Mutex.Inspect].
func (m *RWMutex) Inspect(ctx context.Context) (Status, error) {
	return status(ctx, m.keeper, m.usable(inspecting), lease.RWMutex, m.key)
}

// Inspect says who holds the key and who waits for it, as [Mutex.Inspect].
func (p *Pool) Inspect(ctx context.Context, key string) (Status, error) {
	full, err := p.full(inspecting, key)
	return status(ctx, p.keeper, err, lease.Mutex, full)
}

const inspecting = "inspect"

func status(ctx context.Context, k *lease.Keeper, unusable error, kind lease.Kind, key string) (Status, error) {
	if unusable != nil {
		return Status{}, unusable
	}
	p, err := k.Inspect(ctx, lease.Name{Kind: kind, Key: key})
	if err != nil {
		return Status{}, err
	}
	s := Status{More: int(p.More), Waiting: p.Waiting, First: p.First}
	for _, h := range p.Holders {
		s.Holders = append(s.Holders, Holder{Owner: h.Owner, Read: h.Shared, Fence: h.Fence, Left: h.Left})
	}
	return s, nil
}
