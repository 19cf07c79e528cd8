package gocronlock

import (
	"context"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// An Elector implements gocron.Elector for gocron.WithDistributedElector. The first process
// that has a job to run becomes the leader, until it dies or resigns.
type Elector struct {
	lock *mutex.Mutex
	term chan *mutex.Lease // capacity 1: the last term, except while a method uses it
}

// NewElector returns an Elector whose leader holds lock. Use the lock for nothing else.
func NewElector(lock *mutex.Mutex) *Elector {
	e := &Elector{lock: lock, term: make(chan *mutex.Lease, 1)}
	e.term <- new(mutex.Lease) // behaves like a lost lease
	return e
}

// IsLeader returns nil if this process leads. The leader makes no request for it.
func (e *Elector) IsLeader(ctx context.Context) error {
	var term *mutex.Lease
	select {
	case term = <-e.term:
	case <-ctx.Done(): // another job waits for Redis
		return context.Cause(ctx)
	}
	defer func() { e.term <- term }()
	if term.Err() == nil {
		return nil
	}
	next, err := e.lock.TryLockContext(ctx)
	if err == nil {
		term = next
	}
	return err
}

// Context returns a copy of ctx for a job to use: it is canceled, with the cause
// mutex.ErrLost, when this process stops being the leader.
func (e *Elector) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	term := <-e.term
	defer func() { e.term <- term }()
	return term.Context(ctx)
}

// Resign lets others lead at once. Call it after the scheduler's Shutdown. It does nothing
// if this process does not lead.
func (e *Elector) Resign() error {
	term := <-e.term
	defer func() { e.term <- term }()
	if term.Err() != nil {
		return nil
	}
	return term.Unlock()
}
