package lease

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A MultiLease that is held.

// Release ends the hold on all keys. It returns as that of a lease does, and
// ErrLost if one of them was lost.
func (ml *MultiLease) Release() error {
	ml.mu.Lock()
	again := ml.released
	ml.released = true
	if ml.closeDone != nil {
		ml.closeDone()
	}
	ml.mu.Unlock()
	if again {
		return ml.Err()
	}
	err := releaseAll(ml.leases)
	ml.cancelHold()
	retry.Repanic(err)
	return err
}

// Err returns nil while all keys are held, and then why the hold ended.
func (ml *MultiLease) Err() error {
	for _, l := range ml.leases {
		if err := l.Err(); errors.Is(err, ErrLost) {
			return err
		}
	}
	ml.mu.Lock()
	defer ml.mu.Unlock()
	if ml.released {
		return ml.leases[0].wrap(ErrReleased, nil)
	}
	return nil
}

// Remaining returns how long all keys are held even if no renewal succeeds any more.
func (ml *MultiLease) Remaining() time.Duration {
	if ml.Err() != nil {
		return 0
	}
	remaining := ml.leases[0].Remaining()
	for _, l := range ml.leases[1:] {
		remaining = min(remaining, l.Remaining())
	}
	return remaining
}

// Done returns a channel that is closed when the first lease is lost, or all are
// released.
func (ml *MultiLease) Done() <-chan struct{} {
	ml.once.Do(func() {
		ctx, end := context.WithCancel(context.Background())
		ml.mu.Lock()
		ml.closeDone = end
		if ml.released {
			end()
		}
		ml.mu.Unlock()
		ctx, _ = ml.Context(ctx) // which end ends too
		ml.done = ctx.Done()
	})
	_ = ml.Err() // notices a window that has passed, should the renewal timer be late
	return ml.done
}

// Context returns a copy of parent that is cancelled, with the cause ErrLost,
// when a lease is lost.
func (ml *MultiLease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	stops := make([]context.CancelFunc, len(ml.leases))
	for i, l := range ml.leases {
		parent, stops[i] = l.Context(parent)
	}
	return parent, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// Fence returns the largest of the fencing numbers.
func (ml *MultiLease) Fence() (most int64) {
	for _, l := range ml.leases {
		most = max(most, l.Fence())
	}
	return most
}

// FenceOf returns the fencing number of the hold on key, 0 if it is not held.
func (ml *MultiLease) FenceOf(key string) int64 {
	for _, l := range ml.leases {
		if fence := l.FenceOf(key); fence != 0 {
			return fence
		}
	}
	return 0
}

// FenceOf returns the fencing number if the lease is of key, and else 0.
func (l *Lease) FenceOf(key string) int64 {
	if l.queue == nil || l.queue.name.Key != key {
		return 0
	}
	return l.fence
}
