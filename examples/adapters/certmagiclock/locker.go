// Package certmagiclock lets one process of a fleet obtain a certificate for all.
package certmagiclock

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker implements certmagic.Locker and certmagic.TryLocker. Embed it with a
// certmagic.Storage to replace the storage's own locks; see the example.
type Locker struct {
	pool *mutex.Pool
	mu   sync.Mutex
	held map[string][]*mutex.Lease // oldest first; only the last can be valid
}

// New returns a Locker that uses the locks of pool.
func New(pool *mutex.Pool) *Locker { return &Locker{pool: pool, held: map[string][]*mutex.Lease{}} }

// Lock locks name. It blocks until the lock is available or ctx is done.
func (l *Locker) Lock(ctx context.Context, name string) error {
	lease, err := l.pool.LockContext(ctx, name)
	return l.keep(name, lease, err)
}

// TryLock tries to lock name without waiting and reports whether it succeeded.
func (l *Locker) TryLock(ctx context.Context, name string) (bool, error) {
	lease, err := l.pool.TryLockContext(ctx, name)
	if errors.Is(err, mutex.ErrLocked) {
		return false, nil
	}
	return err == nil, l.keep(name, lease, err)
}

func (l *Locker) keep(name string, lease *mutex.Lease, err error) error {
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[name] = append(l.held[name], lease)
	return nil
}

// Unlock unlocks name. It returns mutex.ErrLost if the lock was lost. It ignores ctx.
func (l *Locker) Unlock(_ context.Context, name string) error {
	l.mu.Lock()
	leases := l.held[name]
	delete(l.held, name)
	if len(leases) > 1 {
		l.held[name] = leases[1:]
	}
	l.mu.Unlock()
	if len(leases) == 0 {
		return errors.New("certmagiclock: unlock of a name that is not locked: " + name)
	}
	return leases[0].Unlock()
}
