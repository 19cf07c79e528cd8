package semaphore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// When permits are granted, the replica has them. Without the replica, permits stay in use, and no
// other permits are granted.
func TestReplicas(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	replica := s.AddReplica(t)
	sem := semaphore.NewWeighted(s.Client(t), "key", 3)
	sem.Replicas, sem.ReplicaTimeout = semaphore.AllReplicas, 50*time.Millisecond
	one := acquire(t, sem, 1)
	if got := replica.Do(t, "EXISTS", "key"); got != int64(1) {
		t.Error("the replica does not have the permit")
	}
	replica.Pause()
	if _, err := sem.TryAcquireLease(t.Context(), 2); !errors.Is(err, semaphore.ErrUnconfirmed) {
		t.Errorf("without the replica: %v", err)
	}
	if status, err := sem.Inspect(t.Context()); err != nil || status.Used != 1 || one.Err() != nil {
		t.Errorf("%+v, %v; the permit in use: %v", status, err, one.Err())
	}
	replica.Continue()
	release(t, acquire(t, sem, 2))
	release(t, one)
}
