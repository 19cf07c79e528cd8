// Package certmagiclock has one process of a fleet obtain a certificate for all.
package certmagiclock

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker is certmagic's Locker and TryLocker. Embed it beside a certmagic.Storage,
// and it takes the place of the locks of that: see the example.
type Locker struct {
	pool *mutex.Pool
	mu   sync.Mutex
	held map[string][]*mutex.Lease // oldest first: all but the last are lost
}

// New returns a Locker of the pool's locks.
func New(pool *mutex.Pool) *Locker { return &Locker{pool: pool, held: map[string][]*mutex.Lease{}} }

// Lock waits for the lock of name until ctx ends.
func (l *Locker) Lock(ctx context.Context, name string) error {
	lease, err := l.pool.LockContext(ctx, name)
	return l.keep(name, lease, err)
}

// TryLock reports whether it got the lock of name, for which it does not wait.
func (l *Locker) TryLock(ctx context.Context, name string) (bool, error) {
	lease, err := l.pool.TryLockContext(ctx, name)
	if errors.Is(err, mutex.ErrLocked) {
		return false, nil
	}
	return err == nil, l.keep(name, lease, err)
}

func (l *Locker) keep(name string, lease *mutex.Lease, err error) error {
	if l.mu.Lock(); err == nil {
		l.held[name] = append(l.held[name], lease)
	}
	l.mu.Unlock()
	return err
}

// Unlock returns mutex.ErrLost if the lock was lost meanwhile. It ignores ctx.
func (l *Locker) Unlock(_ context.Context, name string) error {
	l.mu.Lock()
	leases := l.held[name]
	if delete(l.held, name); len(leases) > 1 {
		l.held[name] = leases[1:]
	}
	l.mu.Unlock()
	if len(leases) == 0 {
		return errors.New("certmagiclock: not locked here: " + name)
	}
	return leases[0].Unlock()
}
