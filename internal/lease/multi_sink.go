package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// memberSink is the [result.Sink] of one lease of a MultiLease. The lease is delivered to the
// MultiLease. While that lies in a sink of its own, the lease counts as not received, and is given
// back with it.
type memberSink struct {
	multi   *MultiLease
	decided chan error // capacity 1
}

func (m memberSink) Send(err error) { m.decided <- err }

func (m memberSink) Revoke() bool {
	select {
	case <-m.decided:
		return true
	default:
		return m.multi.revoke()
	}
}

func (m memberSink) Received() bool { return len(m.decided) == 0 && m.multi.mayRenew() }

// mayRenew reports whether the leases of the MultiLease may be renewed: while it waits for the rest
// of them, and from its reception until MaxHold is over.
func (ml *MultiLease) mayRenew() bool {
	ml.mu.Lock()
	defer ml.mu.Unlock()
	return (ml.sink == nil || ml.sink.Received()) && (ml.maxHold == 0 || ml.grantedAt.IsZero() || time.Since(ml.grantedAt) < ml.maxHold)
}

// maxHoldExceeded reports whether MaxHold is over.
func (ml *MultiLease) maxHoldExceeded() bool {
	ml.mu.Lock()
	defer ml.mu.Unlock()
	return ml.maxHold != 0 && !ml.grantedAt.IsZero() && time.Since(ml.grantedAt) >= ml.maxHold
}

// revoke takes the MultiLease out of its sink if nobody has received it, because ctx or one of its
// leases has ended. The other leases are given back, and the sink gets the reason. revoke reports
// whether the MultiLease was taken back, now or before. A lost lease needs that answer at once: a
// goroutine that waits for the end of holdCtx would release too late, after the lock has expired
// (TestSimulation). The mutex of a lease's queue may be held.
func (ml *MultiLease) revoke() bool {
	ml.mu.Lock()
	defer ml.mu.Unlock()
	if ml.delivered && ml.sink.Revoke() {
		ml.delivered, ml.revoked = false, true
		err := ml.leases[0].wrap(ErrLost, nil)
		if ml.ctx.Err() != nil {
			err = ml.leases[0].wrap(retry.CtxError(ml.ctx), nil)
		}
		go func() {
			ml.releaseUnwanted(ml.ctx, ml.leases, false)
			ml.cancelHold()
			ml.sink.Send(err)
		}()
	}
	return ml.revoked
}
