package kit

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Is checks an error.
func Is(t *testing.T, desc string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", desc, err, target)
	}
}

// Lost checks that a wait ended with this number of abandoned tasks.
func Lost(t *testing.T, desc string, err error, tasks int) {
	t.Helper()
	var a *waitgroup.AbandonedError
	if !errors.As(err, &a) || !errors.Is(err, waitgroup.ErrAbandoned) || a.Tasks != tasks {
		t.Errorf("%s: %v, want %d abandoned", desc, err, tasks)
	}
}

// Claim claims a task.
func Claim(t *testing.T, wg *waitgroup.WaitGroup) *waitgroup.Task {
	t.Helper()
	task, err := wg.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// Counts checks the counter and the number of tasks of the group "key".
func Counts(t *testing.T, desc string, rdb *redis.Client, count, tasks int64) {
	t.Helper()
	status, err := waitgroup.New(rdb, "key").Inspect(t.Context())
	if n := int64(len(status.Tasks)); err != nil || status.Count != count || n != tasks {
		t.Errorf("%s: a count of %d and %d tasks are left, want %d and %d: %v", desc, status.Count, n, count, tasks, err)
	}
}
