package lease

import (
	"context"
	"time"
)

// What a group is once it has been handed over.

// Release ends the hold on all keys. It returns as that of a lease does, and
// ErrLost if one of them was lost.
func (g *Group) Release() error {
	g.mu.Lock()
	again := g.released
	g.released = true
	if g.end != nil {
		g.end()
	}
	g.mu.Unlock()
	if again {
		return g.Err()
	}
	err := releaseAll(g.leases)
	g.stop()
	raise(err)
	return err
}

// Err returns nil while all is held, and why it ended thereafter.
func (g *Group) Err() error {
	for _, l := range g.leases {
		if l.Err() == ErrLost {
			return ErrLost
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released {
		return ErrReleased
	}
	return nil
}

// Left is for how long all is held even if no renewal succeeds any more.
func (g *Group) Left() time.Duration {
	if g.Err() != nil {
		return 0
	}
	left := g.leases[0].Left()
	for _, l := range g.leases[1:] {
		left = min(left, l.Left())
	}
	return left
}

// Done returns a channel that is closed when the first lease is lost, or all are
// released.
func (g *Group) Done() <-chan struct{} {
	g.once.Do(func() {
		ctx, end := context.WithCancel(context.Background())
		g.mu.Lock()
		if g.end = end; g.released {
			end()
		}
		g.mu.Unlock()
		ctx, _ = g.Context(ctx) // which end ends too
		g.done = ctx.Done()
	})
	_ = g.Err() // notices a window that has passed, should the clock be late
	return g.done
}

// Context returns a copy of parent that is cancelled, with the cause ErrLost,
// when a lease is lost.
func (g *Group) Context(parent context.Context) (context.Context, context.CancelFunc) {
	stops := make([]context.CancelFunc, len(g.leases))
	for i, l := range g.leases {
		parent, stops[i] = l.Context(parent)
	}
	return parent, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// Fence returns the largest of the fencing numbers.
func (g *Group) Fence() (most int64) {
	for _, l := range g.leases {
		most = max(most, l.Fence())
	}
	return most
}

// FenceOf returns the fencing number of the hold on key, 0 if it is not held.
func (g *Group) FenceOf(key string) int64 {
	for _, l := range g.leases {
		if fence := l.FenceOf(key); fence != 0 {
			return fence
		}
	}
	return 0
}

// FenceOf returns the fencing number if the lease is of key, and else 0.
func (l *Lease) FenceOf(key string) int64 {
	if l.line == nil || l.line.name.Key != key {
		return 0
	}
	return l.fence
}
