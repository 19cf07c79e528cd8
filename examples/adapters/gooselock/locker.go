// Package gooselock is a Locker for goose: of processes that start together one
// migrates the database, and the others wait and find that nothing is left to do.
package gooselock

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Locker is for goose.WithLocker. Several providers may have it.
type Locker struct {
	// Lost, if not nil, is called when the lock is lost under a migration. Let it
	// cancel the ctx that Up was given: the migration then ends before another begins.
	Lost context.CancelCauseFunc

	lock   *mutex.Mutex
	inside chan struct{} // full from Lock to Unlock, though the lock be lost meanwhile
	held   chan *mutex.Lease
}

// New returns a Locker of the lock, which should be named after the database.
func New(lock *mutex.Mutex) *Locker {
	return &Locker{lock: lock, inside: make(chan struct{}, 1), held: make(chan *mutex.Lease, 1)}
}

// Lock waits for the lock until ctx ends.
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

// Unlock fails if l is not locked, and with mutex.ErrLost if it is no more.
func (l *Locker) Unlock(context.Context, *sql.DB) error {
	select {
	case lease := <-l.held:
		defer func() { <-l.inside }()
		return lease.Unlock()
	default:
		return errors.New("gooselock: unlock of an unlocked Locker")
	}
}
