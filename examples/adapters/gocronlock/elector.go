package gocronlock

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// ErrNotLeader is returned by IsLeader if this process does not lead.
var ErrNotLeader = errors.New("gocronlock: not the leader")

// An Elector implements gocron.Elector for gocron.WithDistributedElector: the process that
// leads the election runs all jobs. [Elector.Run] campaigns.
type Elector struct {
	election *mutex.Election
	term     atomic.Pointer[mutex.Term] // the last term
}

// NewElector returns an Elector for the election. Use the election's key for nothing else.
func NewElector(election *mutex.Election) *Elector {
	e := &Elector{election: election}
	e.term.Store(new(mutex.Term)) // behaves like a lost term
	return e
}

// Run campaigns and leads until ctx is done, and then resigns. It campaigns again after a loss.
// It returns nil when ctx is done, or a permanent error. Cancel ctx after the scheduler's
// Shutdown.
func (e *Elector) Run(ctx context.Context) error {
	err := e.election.Lead(ctx, func(ctx context.Context, t *mutex.Term) error {
		e.term.Store(t)
		<-ctx.Done()
		return nil
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// IsLeader returns nil if this process leads, and ErrNotLeader otherwise. It makes no request.
func (e *Elector) IsLeader(context.Context) error {
	if e.term.Load().Err() != nil {
		return ErrNotLeader
	}
	return nil
}

// Context returns a copy of ctx for a job. It is canceled, with the cause mutex.ErrLost or
// mutex.ErrResigned, when this process is no longer the leader.
func (e *Elector) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return e.term.Load().Context(ctx)
}
