package mutex

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	// ErrLost is returned for a lease or term that was lost: it could not be renewed in
	// time, Redis lost it, it exceeded MaxHold, or it was not received from its channel.
	ErrLost = lease.ErrLost
	// ErrLocked is returned by a try if the lock is held or has waiters.
	ErrLocked = lease.ErrLocked
	// ErrUnlocked is returned for a lease that Unlock has ended.
	ErrUnlocked = lease.ErrUnlocked
	// ErrUnconfirmed is returned by a try if too few replicas have confirmed the grant. The
	// lock has been released again. See Replicas.
	ErrUnconfirmed = lease.ErrUnconfirmed
	// ErrValueFound is the Err of a Failed event of a [Once] or [Flight]. It means that the
	// call waited and then found the value. The call itself succeeds.
	ErrValueFound = lease.ErrValueFound
)

// AllReplicas is a value for Replicas. Every connected replica must then confirm, and at
// least one replica must be connected.
const AllReplicas = -1

// A Lease is a hold on a lock, from its grant until [Lease.Unlock] or its loss. It
// is renewed in the background. Its methods may be called by multiple goroutines
// simultaneously.
//
// A Lease returned by a [Pool] for several keys is a hold on all of them.
//
// The zero Lease behaves like a lost lease. Methods of a nil Lease panic. A copy stands
// for the same hold. If you end one, both have ended.
type Lease struct {
	single lease.Lease
	multi  *lease.MultiLease // instead of single, if there are several keys
	pool   *Pool             // the Pool that returned it, or nil
}

// impl returns the hold behind l.
func (l *Lease) impl() interface {
	Release() error
	Done() <-chan struct{}
	Contended() <-chan struct{}
	Err() error
	Remaining() time.Duration
	Context(context.Context) (context.Context, context.CancelFunc)
	Fence() int64
	FenceOf(key string) int64
} {
	if l.multi != nil {
		return l.multi
	}
	return &l.single
}

// Result is received from the channel of LockChan. It holds a lease or an error.
type Result struct {
	Lease *Lease // nil if Err is not nil
	Err   error
}

// await blocks until the requested lease is granted or has failed.
func (l *Lease) await(ctx context.Context) (*Lease, error) {
	if err := l.single.Await(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// leaseBuilder is the lease of a request under way.
type leaseBuilder struct{ *Lease }

func (b leaseBuilder) Build(err error) Result {
	if err != nil {
		return Result{Err: err}
	}
	return Result{Lease: b.Lease}
}

// Unlock ends the hold. If others wait, the lock belongs to the next waiter when
// Unlock returns.
//
// Unlock returns ErrLost if the hold was already lost. Another process may then have held
// the lock. A second Unlock returns ErrUnlocked, or ErrLost again.
// Unlock takes no ctx. While Redis is unreachable it retries, at most until the
// lease would have expired, and then returns the last Redis error. Whatever it
// returns, the lock is no longer held. Unlock never ends another hold.
//
// A lease of several keys is unlocked at all of them. ErrLost then means that at
// least one was lost; the others were held and renewed until Unlock.
func (l *Lease) Unlock() error { return l.impl().Release() }

// Done returns a channel that is closed when the hold ends, by Unlock or by loss. A
// lease of several keys ends when any of them is lost.
func (l *Lease) Done() <-chan struct{} { return l.impl().Done() }

// Contended returns a channel that is closed when another process waits for the lock. Use
// it for work that can stop early and let others in. With NotifyContention, a message
// closes the channel at once. If the message is lost, the waiter's next poll sends it
// again. Without NotifyContention, or while this process is not connected, the next
// renewal closes the channel, within a third of TTL. When the channel closes, the waiter
// may already have given up. The end of the hold does not close the channel, so wait for
// [Lease.Done] too.
//
// For a lease of several keys, Contended is closed when others wait for any of them.
func (l *Lease) Contended() <-chan struct{} { return l.impl().Contended() }

// Err returns nil while the lock is held, ErrUnlocked after Unlock, and ErrLost after
// a loss. Err does not contact Redis; it uses the local clock.
func (l *Lease) Err() error { return l.impl().Err() }

// Remaining returns how long the hold lasts if it cannot be renewed any more. Done is
// closed when that time is over. Each renewal extends it. It returns 0 after the hold
// has ended. Begin shutting down once Remaining is as short as your cleanup takes.
func (l *Lease) Remaining() time.Duration { return l.impl().Remaining() }

// Context returns a copy of parent that is canceled with the cause [ErrLost] when the
// hold is lost; see [context.Cause]. If the hold was already lost, the copy is
// already canceled. Unlock does not cancel it. Call stop when it is no longer needed.
func (l *Lease) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return l.impl().Context(parent)
}

// Fence returns the fencing token of the hold. It is greater than the token of every
// earlier hold on the key. Send it with each write to the data that the lock
// protects, and with each read that a later write depends on. The storage must
// reject a token lower than the highest it has seen.
//
// Tokens keep growing after Redis has lost its data. A new token can be lower than an
// old one only if the server's clock was set back by more than the time since the last
// grant.
//
// Exception: after Redis loses the key, a process may hand its stale lease to another
// goroutine before it notices. The token of that goroutine can be lower than a newer
// holder's. It is never higher.
//
// For a lease of several keys, Fence returns the largest token. It orders only holds
// on exactly the same keys. Otherwise send each storage the token of its own key: see
// [Lease.FenceOf].
func (l *Lease) Fence() int64 { return l.impl().Fence() }

// FenceOf returns the fencing token of the hold on key. Pass the key as you passed it to
// LockContext, without the prefix of the [Pool]. The token is greater than the token of
// every earlier hold on that key. FenceOf returns 0 if the lease does not hold the key.
func (l *Lease) FenceOf(key string) int64 {
	if l.pool != nil {
		key = l.pool.prefix + key
	}
	return l.impl().FenceOf(key)
}
