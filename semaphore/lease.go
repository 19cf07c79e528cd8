package semaphore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	// ErrLocked is returned by a try that found too few permits free, or others
	// waiting for them.
	ErrLocked = lease.ErrLocked
	// ErrLost says that a hold ended before Release: it could not be renewed in
	// time, Redis has lost it, or it was not to be renewed any more.
	ErrLost = lease.ErrLost
	// ErrReleased says that a hold was ended by Release.
	ErrReleased = lease.ErrReleased
	// ErrSize says that the semaphore has another size in Redis than this process
	// was told, or fewer permits in all than are wanted.
	ErrSize = lease.ErrSize
)

// A Lease is a hold on some permits, from the moment they were granted until
// [Lease.Release] or their loss. It is renewed meanwhile, without anything to
// call. Its methods may be called from any goroutine.
//
// The zero Lease holds nothing, and says what one says that has been lost. The
// methods of a nil Lease panic. A copy is the same hold, which ends once.
type Lease struct{ hold lease.Lease }

// Result is what the channel of AcquireChan yields: a lease, or the reason why
// there is none.
type Result struct {
	Lease *Lease // nil if Err is not
	Err   error
}

// asked is a lease that was asked for.
type asked struct{ *Lease }

func (a asked) Result(err error) Result {
	if err != nil {
		return Result{Err: err}
	}
	return Result{Lease: a.Lease}
}

// Release ends the hold. Whoever the permits let in has them when it returns, but
// if others of this process wait for permits: then it is their next request,
// which is about to be sent, that gives back what they cannot use.
//
// It returns ErrLost if the hold had ended before, so that others may have had
// the permits meanwhile. After a first Release it does nothing and returns
// ErrReleased, or again ErrLost. Release takes no ctx: it waits for Redis, and
// tries again if need be, but no longer than the lease would have lasted. If Redis
// could not be reached for so long, it returns that error; the hold has then
// ended by itself. Whatever it returns, nothing is held thereafter.
func (l *Lease) Release() error { return l.hold.Release() }

// Done returns a channel that is closed when the hold ends, by Release or by loss.
func (l *Lease) Done() <-chan struct{} { return l.hold.Done() }

// Err returns nil while the permits are held, ErrReleased after Release and
// ErrLost after a loss. It asks no one: it knows from the process's own clocks
// until when the hold can be trusted.
func (l *Lease) Err() error { return l.hold.Err() }

// Left returns for how long the hold lasts even if Redis cannot be reached any more:
// then Done is closed. Each renewal prolongs it; it is 0 of a hold that has ended.
// Who needs time to stop what the hold protects begins when there is not more
// left than that takes.
func (l *Lease) Left() time.Duration { return l.hold.Left() }

// Context returns a copy of parent that is cancelled with the cause [ErrLost]
// (see [context.Cause]) when the hold is lost. Release does not cancel it. Call
// stop when it is no longer needed.
func (l *Lease) Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	return l.hold.Context(parent)
}

// Fence returns a number that no other hold on the key has. It names a hold, and
// does not order holds as the fence of a lock does: one that passes inside a
// process counts on from an earlier grant of that process.
func (l *Lease) Fence() int64 { return l.hold.Fence() }
