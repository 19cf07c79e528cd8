package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// An Owner is the process that holds or awaits permits: its host, PID and label.
type Owner struct {
	Host  string
	PID   int
	Label string // the field of the Weighted, truncated
	Token string // the token stored in Redis
}

// String returns "label (host, pid 7)", or as much of that as is known.
func (o Owner) String() string { return lease.Owner(o).String() }

// A Status is what Redis knows about a semaphore, for people and for monitoring. It may
// be stale by the time it is returned.
type Status struct {
	Size        int64    // 0 if the key is not in use
	Used        int64    // permits that are held
	Holders     []Holder // one for each process that holds permits
	MoreHolders int      // number of further holders; about 1,000 are listed
	// Waiters is the number of waiting processes. A dead process counts for up to 3.6 s.
	Waiters     int
	Next        Owner    // the first waiter, which gets permits next
	NextPermits int64    // how many permits it waits for
	Queue       []Waiter // the first waiters, in order; about 100 are listed
}

// A Waiter is one process that waits for permits.
type Waiter struct {
	Owner
	Permits int64
}

// A Holder is the hold of one process.
type Holder struct {
	Owner
	Permits int64
	// Fence is the lowest number that the last grant gave to this process.
	Fence     int64
	Remaining time.Duration // until the hold expires; a renewal extends it
	// MayLinger reports that the process may keep the permits after Release because of
	// Linger. It is possible that nobody uses them.
	MayLinger bool
	// Idle reports that the permits are certainly not in use. Only the lingering process
	// knows this, so Idle is false for holds of other processes and clients.
	Idle bool
}

// Inspect returns the size, the holders, the number of waiters, and the first waiters in
// order. It makes one read-only request and does not retry while Redis is unreachable.
func (s *Weighted) Inspect(ctx context.Context) (Status, error) {
	if err := s.usable("inspect", nil); err != nil {
		return Status{}, err
	}
	p, err := s.manager.Inspect(ctx, lease.Name{Kind: lease.Semaphore, Key: s.key})
	if err != nil {
		return Status{}, err
	}
	status := Status{Size: p.Size, Used: p.Used, MoreHolders: int(p.MoreHolders), Waiters: p.Waiters}
	for _, h := range p.Holders {
		status.Holders = append(status.Holders, Holder{
			Owner: Owner(h.Owner), Permits: h.Weight, Fence: h.Fence, Remaining: h.Remaining, MayLinger: h.MayLinger(), Idle: h.Idle,
		})
	}
	for _, w := range p.Queue {
		status.Queue = append(status.Queue, Waiter{Owner: Owner(w.Owner), Permits: w.Weight})
	}
	if len(status.Queue) > 0 {
		status.Next, status.NextPermits = status.Queue[0].Owner, status.Queue[0].Permits
	}
	return status, nil
}

// A LimiterStatus is what Redis knows about a limiter, for people and for monitoring. It
// may be stale by the time it is returned.
type LimiterStatus struct {
	// Limit and Burst are those of the last call by any process. If the bucket is full,
	// Redis keeps nothing, and they are those of this Limiter.
	Limit Limit
	Burst int
	// Tokens is the number of tokens in the bucket, a fraction included.
	Tokens float64
	// Reserved is the number of tokens that waiters have taken ahead, and that are not yet
	// in the bucket. If it is positive, Tokens is 0.
	Reserved float64
	// Next is how long a Wait for one event would sleep now. It is also 0 if Wait would fail,
	// as with a limit of 0.
	Next time.Duration
}

// Inspect returns the tokens and the reservations of the limiter. It makes one read-only
// request and does not retry while Redis is unreachable.
func (l *Limiter) Inspect(ctx context.Context) (LimiterStatus, error) {
	if _, err := l.newReservation("inspect", 1); err != nil {
		return LimiterStatus{}, err
	}
	b, err := retry.Do(ctx, "inspect", l.key, false, func(ctx context.Context) (ratelimit.Bucket, error) {
		return l.store.InspectLimiter(ctx, l.key)
	})
	switch {
	case err != nil:
		return LimiterStatus{}, err
	case b.Full:
		return LimiterStatus{Limit: l.limit, Burst: l.burst, Tokens: float64(l.burst)}, nil
	}
	return LimiterStatus{Limit: Limit(b.Rate), Burst: b.Burst, Tokens: max(b.Tokens, 0), Reserved: max(-b.Tokens, 0), Next: b.Next}, nil
}
