package mutex_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/mutex"
)

func lock(t *testing.T, m *mutex.Mutex) *mutex.Lease {
	t.Helper()
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unlock(t *testing.T, l *mutex.Lease) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
