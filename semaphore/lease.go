package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	// ErrLost is returned for a lease that was lost: it could not be renewed in time, Redis
	// lost it, it exceeded MaxHold, or it was not received from its channel.
	ErrLost = lease.ErrLost
	// ErrNotAvailable is returned by a try if too few permits are free, or if others
	// wait for them.
	ErrNotAvailable = lease.ErrNotAvailable
	// ErrReleased is returned for a lease that Release has ended.
	ErrReleased = lease.ErrReleased
	// ErrUnconfirmed is returned by a try if too few replicas have confirmed the grant. The
	// permits have been released again. See Replicas.
	ErrUnconfirmed = lease.ErrUnconfirmed
	// ErrSizeMismatch is returned if the semaphore has another size in Redis than
	// the one passed to NewWeighted.
	ErrSizeMismatch = lease.ErrSizeMismatch
	// ErrExceedsSize is returned for a request that exceeds the size.
	ErrExceedsSize = lease.ErrExceedsSize
)

// AllReplicas is a value for Replicas. Every connected replica must then confirm, and at
// least one replica must be connected.
const AllReplicas = -1

// A Lease is a hold on some permits, from their grant until [Lease.Release] or their
// loss. It is renewed in the background. Its methods may be called by multiple
// goroutines simultaneously.
//
// The zero Lease behaves like a lost lease. Methods of a nil Lease panic. A copy stands
// for the same hold. If you end one, both have ended.
type Lease struct{ impl lease.Lease }

// Result is received from the channel of AcquireChan. It holds a lease or an error.
type Result struct {
	Lease *Lease // nil if Err is not nil
	Err   error
}

// leaseBuilder is the lease of a request under way.
type leaseBuilder struct{ *Lease }

func (b leaseBuilder) Build(err error) Result {
	if err != nil {
		return Result{Err: err}
	}
	return Result{Lease: b.Lease}
}

// Release ends the hold. When it returns, its permits belong to the next waiters, as far
// as they suffice. If other goroutines of this process wait, the permits pass to them
// first. The rest goes back to Redis with their next request.
//
// Release returns ErrLost if the hold was already lost. Other processes may then have had
// the permits. A second Release returns ErrReleased, or ErrLost again.
// Release takes no ctx. While Redis is unreachable it retries, at most until the lease
// would have expired, and then returns the last Redis error. Whatever it returns, the
// permits are no longer held.
func (l *Lease) Release() error { return l.impl.Release() }

// Done returns a channel that is closed when the hold ends, by Release or by loss.
func (l *Lease) Done() <-chan struct{} { return l.impl.Done() }

// Contended returns a channel that is closed when another process waits for permits. Use it
// for work that can stop early and let others in. With NotifyContention, a message closes
// the channel at once, in the 64 processes whose holds end first. If the message is lost, the
// waiter's next poll sends it again. Without NotifyContention, or while this process is not
// connected, the next renewal closes the channel, within a third of TTL. When the channel
// closes, the waiter may already have given up. The end of the hold does not close the channel,
// so wait for [Lease.Done] too.
func (l *Lease) Contended() <-chan struct{} { return l.impl.Contended() }

// Err returns nil while the permits are held, ErrReleased after Release, and ErrLost
// after a loss. Err does not contact Redis; it uses the local clock.
func (l *Lease) Err() error { return l.impl.Err() }

// Remaining returns how long the hold lasts if it cannot be renewed any more. Done is
// closed when that time is over. Each renewal extends it. It returns 0 after the hold
// has ended. Begin shutting down once Remaining is as short as your cleanup takes.
func (l *Lease) Remaining() time.Duration { return l.impl.Remaining() }

// Context returns a copy of parent that is canceled with the cause [ErrLost] when the
// hold is lost; see [context.Cause]. Release does not cancel it. Call stop when it is
// no longer needed.
func (l *Lease) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return l.impl.Context(parent)
}

// Fence returns a number that no other hold on the key has. It identifies a hold. It
// does not order holds as a mutex's fencing token does, because holds overlap. A storage
// can check it against a list of valid holds.
func (l *Lease) Fence() int64 { return l.impl.Fence() }
