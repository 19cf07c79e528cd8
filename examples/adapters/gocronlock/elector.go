package gocronlock

import (
	"context"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// An Elector is for gocron.WithDistributedElector. The leader is the first that has
// a job to run, until it dies or resigns.
type Elector struct {
	lock *mutex.Mutex
	term chan *mutex.Lease // holds the last one, but while somebody looks at it
}

// NewElector has leaders hold the lock, which is to serve nothing else.
func NewElector(lock *mutex.Mutex) *Elector {
	e := &Elector{lock: lock, term: make(chan *mutex.Lease, 1)}
	e.term <- new(mutex.Lease) // as good as lost
	return e
}

// IsLeader returns nil if this process leads, and then asks nobody.
func (e *Elector) IsLeader(ctx context.Context) error {
	var term *mutex.Lease
	select {
	case term = <-e.term:
	case <-ctx.Done(): // another job is asking Redis, which does not answer
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

// Context is for a job to call when it begins: it is cancelled, with the cause
// mutex.ErrLost, when this process no longer leads, and another may.
func (e *Elector) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	term := <-e.term
	defer func() { e.term <- term }()
	return term.Context(ctx)
}

// Resign lets others lead at once. Call it after the scheduler's Shutdown. It does
// nothing if this process does not lead.
func (e *Elector) Resign() error {
	term := <-e.term
	defer func() { e.term <- term }()
	if term.Err() != nil {
		return nil
	}
	return term.Unlock()
}
