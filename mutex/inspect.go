package mutex

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// An Owner is the process that holds or awaits a lock: its host, PID and label. If the
// lock was not taken by this library, only Token is set, to the key's value.
type Owner struct {
	Host  string
	PID   int
	Label string // the field of the Mutex, truncated
	Token string // the token stored in Redis
}

// String returns "label (host, pid 7)", or as much of that as is known.
func (o Owner) String() string { return lease.Owner(o).String() }

// A Status is what Redis knows about a lock, for people and for monitoring. It may be
// stale by the time it is returned.
type Status struct {
	// Holders has one element for a Mutex that is held. For a RWMutex it has one for
	// each process that reads, or one for the writer.
	Holders []Holder
	// MoreHolders is the number of further holders. About 1,000 are listed.
	MoreHolders int
	// Waiters is the number of waiting processes. A dead process counts for up to 3.6 s.
	Waiters int
	// Next is the first waiter, which gets the lock next.
	Next Owner
	// Queue lists the first waiters, in order. About 100 are listed.
	Queue []Waiter
}

// A Waiter is one process that waits for a lock.
type Waiter struct {
	Owner
	Read bool // it waits to read
}

// Held reports whether the lock is held.
func (s Status) Held() bool { return len(s.Holders) > 0 }

// A Holder is the hold of one process on a lock.
type Holder struct {
	Owner
	Read bool // the process holds it for reading, and others may too
	// Fence is the first fencing token of the process's time slice. The goroutines of
	// the process get the following numbers. One time slice has at most 1024 numbers.
	Fence int64
	// Remaining is the time until the hold expires. A renewal extends it. Remaining is
	// negative for a key without an expiry, which this library did not create.
	Remaining time.Duration
	// MayLinger reports that the process may keep the lock after Unlock because of Linger.
	// It is possible that nobody uses the lock.
	MayLinger bool
	// Idle reports that the lock is certainly not in use. Only the lingering process knows
	// this, so Idle is false for holds of other processes and clients.
	Idle bool
}

// Inspect returns the holder, the number of waiters, and the first waiters in order. It
// makes one read-only request and does not retry while Redis is unreachable.
func (m *Mutex) Inspect(ctx context.Context) (Status, error) {
	return inspectKey(ctx, m.manager, m.usable(opInspect), lease.Mutex, m.key)
}

// Inspect returns the holders, the number of waiters, and the first waiters in order. See
// [Mutex.Inspect].
func (m *RWMutex) Inspect(ctx context.Context) (Status, error) {
	return inspectKey(ctx, m.manager, m.usable(opInspect), lease.RWMutex, m.key)
}

// Inspect returns the holder of key, the number of waiters, and the first waiters in order.
// See [Mutex.Inspect].
func (p *Pool) Inspect(ctx context.Context, key string) (Status, error) {
	lock, err := p.lockKey(opInspect, key)
	return inspectKey(ctx, p.manager, err, lease.Mutex, lock)
}

const opInspect = "inspect"

func inspectKey(ctx context.Context, m *lease.Manager, unusable error, kind lease.Kind, key string) (Status, error) {
	if unusable != nil {
		return Status{}, unusable
	}
	p, err := m.Inspect(ctx, lease.Name{Kind: kind, Key: key})
	if err != nil {
		return Status{}, err
	}
	s := Status{MoreHolders: int(p.MoreHolders), Waiters: p.Waiters}
	for _, h := range p.Holders {
		s.Holders = append(s.Holders, Holder{
			Owner: Owner(h.Owner), Read: h.Shared, Fence: h.Fence, Remaining: h.Remaining, MayLinger: h.MayLinger(), Idle: h.Idle,
		})
	}
	for _, w := range p.Queue {
		s.Queue = append(s.Queue, Waiter{Owner: Owner(w.Owner), Read: w.Shared})
	}
	if len(s.Queue) > 0 {
		s.Next = s.Queue[0].Owner
	}
	return s, nil
}
