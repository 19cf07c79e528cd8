package kit

import (
	"context"
	"testing"

	"github.com/seed-3d5fec5c/baton/mutex"
)

func held(t *testing.T, l *mutex.Lease, err error) *mutex.Lease {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Lock locks a Mutex, or an RWMutex for writing.
func Lock(t *testing.T, m interface {
	LockContext(context.Context) (*mutex.Lease, error)
}) *mutex.Lease {
	t.Helper()
	l, err := m.LockContext(t.Context())
	return held(t, l, err)
}

// RLock locks for reading.
func RLock(t *testing.T, m *mutex.RWMutex) *mutex.Lease {
	t.Helper()
	l, err := m.RLockContext(t.Context())
	return held(t, l, err)
}

// LockAll locks keys of a pool.
func LockAll(t *testing.T, p *mutex.Pool, keys ...string) *mutex.Lease {
	t.Helper()
	l, err := p.LockContext(t.Context(), keys...)
	return held(t, l, err)
}

// Unlock checks that the lock was held to the end.
func Unlock(t *testing.T, l *mutex.Lease) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}
