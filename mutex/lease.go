package mutex

import (
	"context"
	"time"

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
//
// One of several keys, which only a [Pool] gives, is a hold on all of them: what
// is said of the lock is true of each.
//
// The zero Lease holds nothing, and says what one says that has been lost. The
// methods of a nil Lease panic. A copy is the same hold, which ends once.
type Lease struct {
	hold  lease.Lease
	group *lease.Group // in place of hold, if there are several keys
	pool  *Pool        // that it is of, or nil
}

// of returns what the lease stands for.
func (l *Lease) of() interface {
	Release() error
	Done() <-chan struct{}
	Err() error
	Left() time.Duration
	Context(context.Context) (context.Context, context.CancelFunc)
	Fence() int64
	FenceOf(key string) int64
} {
	if l.group != nil {
		return l.group
	}
	return &l.hold
}

// Result is what a channel of LockChan yields: a lease, or the reason why there
// is none.
type Result struct {
	Lease *Lease // nil if Err is not
	Err   error
}

// await waits for a lease that was asked for.
func (l *Lease) await(ctx context.Context) (*Lease, error) {
	if err := l.hold.Await(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// asked is a lease that was asked for.
type asked struct{ *Lease }

func (a asked) Result(err error) Result {
	if err != nil {
		return Result{Err: err}
	}
	return Result{Lease: a.Lease}
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
//
// Of several keys, all are unlocked at the same time, and ErrLost says that at
// least one was lost. Until Unlock the others are still held, and renewed.
func (l *Lease) Unlock() error { return l.of().Release() }

// Done returns a channel that is closed when the hold ends, by Unlock or by loss;
// of several keys, by the loss of any.
func (l *Lease) Done() <-chan struct{} { return l.of().Done() }

// Err returns nil while the lock is held, ErrUnlocked after Unlock and ErrLost
// after a loss. It asks no one: it knows from the process's own clocks until when
// the hold can be trusted.
func (l *Lease) Err() error { return l.of().Err() }

// Left returns for how long the hold lasts even if Redis cannot be reached any more:
// then Done is closed. Each renewal prolongs it; it is 0 of a hold that has ended.
// Who needs time to stop what the hold protects begins when there is not more
// left than that takes.
func (l *Lease) Left() time.Duration { return l.of().Left() }

// Context returns a copy of parent that is cancelled with the cause [ErrLost]
// (see [context.Cause]) when the hold is lost. Unlock does not cancel it. Call
// stop when it is no longer needed. Of a hold that has ended it is cancelled only
// if that was lost.
func (l *Lease) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return l.of().Context(parent)
}

// Fence returns the fencing number of the hold: it is greater than that of every
// earlier hold on the key, also across a restart of Redis that lost the key, as
// long as the server's clock does not go backwards by more than Redis was away.
// One exception makes the storage refuse a write, and never accept one: of a hold
// that Redis has lost, and its process passes on before it has been told, the number
// is below that of a hold which another process got meanwhile.
//
// Each key counts for itself. Of several keys Fence is the largest number: it is
// greater than that of every earlier hold on these keys or on some of them, but a
// later hold on some of them, or on others besides, may get a smaller one. So
// only a storage that is always written under the same keys can go by it. Any
// other has to be sent the number of its own key, by [Lease.FenceOf].
func (l *Lease) Fence() int64 { return l.of().Fence() }

// FenceOf returns the fencing number of the hold on the key, by the name that the
// lock was asked for: it is greater than that of every earlier hold on that key,
// however many others were held with it. It is 0 if the lease is not of the key.
func (l *Lease) FenceOf(key string) int64 {
	if l.pool != nil {
		key = l.pool.prefix + key
	}
	return l.of().FenceOf(key)
}
