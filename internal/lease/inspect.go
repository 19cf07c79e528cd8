package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// Status is what Redis knows of a key, at one moment.
type Status struct {
	Size        int64 // of a semaphore, 0 if the key is not in use
	Used        int64 // permits of it
	Fence       int64 // the first fence of the last grant
	Holders     []Holder
	MoreHolders int64    // holders beyond those in Holders, which has about 1,000 at most
	Waiters     int      // processes
	Queue       []Waiter // the first of them, 100 at most
}

// Holder is one process' hold on a key.
type Holder struct {
	Owner
	Weight    int64
	Remaining time.Duration // negative if it does not expire
	Fence     int64         // the first of its last grant
	Shared    bool
	Idle      bool // the claim only lingers, as far as this process knows
}

// MayLinger reports whether the hold is a claim that its process may keep for a moment after
// the last unlock.
func (h Holder) MayLinger() bool {
	mark, _ := client.ParseMark(h.Token)
	return mark == lingerMark
}

// Waiter is one process that waits.
type Waiter struct {
	Owner
	Weight int64 // that it waits for
	Shared bool
}

// Inspect asks what Redis knows of a key, once, and returns within milliseconds of
// the end of ctx.
func (m *Manager) Inspect(ctx context.Context, name Name) (Status, error) {
	s, err := retry.Do(ctx, "inspect", name.Key, false, func(ctx context.Context) (Status, error) {
		return m.store.Inspect(ctx, name)
	})
	for i, h := range s.Holders {
		s.Holders[i].Idle = m.isIdle(name, h.Token)
	}
	return s, err
}

// isIdle reports whether the token is of a claim of this process that only lingers.
func (m *Manager) isIdle(name Name, token string) bool {
	m.mu.Lock()
	q := m.queues.Entries[name]
	m.mu.Unlock()
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.claim != nil && q.claim.state == claimActive && q.claim.token == token && q.claim.idle()
}
