// Package gooselock has a Locker for goose. When several processes start together, one process
// migrates the database. The others wait and find nothing to migrate.
package gooselock

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker implements goose's lock.Locker for goose.WithLocker. Several providers may share a
// Locker.
type Locker struct {
	// Lost, if not nil, is called when the lock is lost during a migration. Set it to the
	// cancel function of the ctx passed to Up. The migration then stops before another
	// process can start one.
	Lost context.CancelCauseFunc

	lock   *mutex.Mutex
	inside chan struct{} // full from Lock to Unlock, even if the lock is lost
	held   chan *mutex.Lease
}

// New returns a Locker that uses lock. Name the lock after the database.
func New(lock *mutex.Mutex) *Locker {
	return &Locker{lock: lock, inside: make(chan struct{}, 1), held: make(chan *mutex.Lease, 1)}
}

// Lock blocks until the lock is available or ctx is done.
func (l *Locker) Lock(ctx context.Context, _ *sql.DB) error {
	select {
	case l.inside <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	lease, err := l.lock.LockContext(ctx)
	if err != nil {
		<-l.inside
		return err
	}
	if l.Lost != nil {
		lost, _ := lease.Context(context.Background())
		context.AfterFunc(lost, func() { l.Lost(mutex.ErrLost) })
	}
	l.held <- lease
	return nil
}

// Unlock returns mutex.ErrLost if the lock was lost, and an error if l is not locked.
func (l *Locker) Unlock(context.Context, *sql.DB) error {
	select {
	case lease := <-l.held:
		defer func() { <-l.inside }()
		return lease.Unlock()
	default:
		return errors.New("gooselock: unlock of an unlocked Locker")
	}
}
