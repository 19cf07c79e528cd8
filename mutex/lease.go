package mutex

import (
	"context"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	// ErrLocked is returned by a try that found the lock held or awaited.
	ErrLocked = lease.ErrLocked
	// ErrLost says that a hold ended before Unlock: it could not be renewed in
	// time, Redis has lost it, or it was not to be renewed any more.
	ErrLost = lease.ErrLost
	// ErrUnlocked says that a hold was ended by Unlock.
	ErrUnlocked = lease.ErrReleased
)

// A Lease is a hold on a lock, from the moment it was granted until [Lease.Unlock]
// or its loss. It is renewed meanwhile, without anything to call. Its methods
// may be called from any goroutine.
type Lease struct{ hold lease.Lease }

// Result is what a channel of LockChan yields: a lease, or the reason why there
// is none.
type Result struct {
	Lease *Lease // nil if Err is not
	Err   error
}

// Unlock ends the hold. If others wait, the lock is theirs when Unlock returns.
//
// It returns ErrLost if the hold had ended before, so that others may have held
// the lock meanwhile. After a first Unlock it does nothing and returns
// ErrUnlocked, or again ErrLost. Unlock takes no ctx: it waits for Redis, and tries
// again if need be, but no longer than the lease would have lasted. If Redis
// could not be reached for so long, it returns that error; the lock has then
// ended by itself. Whatever it returns, the lock is not held thereafter, and it
// never ends a hold other than its own.
func (l *Lease) Unlock() error { return l.hold.Release() }

// Done returns a channel that is closed when the hold ends, by Unlock or by loss.
func (l *Lease) Done() <-chan struct{} { return l.hold.Done() }

// Err returns nil while the lock is held, ErrUnlocked after Unlock and ErrLost
// after a loss. It asks no one: it knows from the process's own clocks until when
// the hold can be trusted.
func (l *Lease) Err() error { return l.hold.Err() }

// Context returns a copy of parent that is cancelled with the cause [ErrLost]
// (see [context.Cause]) when the hold is lost. Unlock does not cancel it. Call
// stop when it is no longer needed.
func (l *Lease) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return l.hold.Context(parent)
}

// Fence returns the fencing number of the hold: it is greater than that of every
// earlier hold on the key, also across a restart of Redis that lost the key, as
// long as the server's clock does not go backwards by more than Redis was away.
func (l *Lease) Fence() int64 { return l.hold.Fence() }
