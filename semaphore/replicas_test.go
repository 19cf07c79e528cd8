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
	sem := weightedOf(s.Client(t), 3, ample)
	sem.Replicas, sem.ReplicaTimeout = semaphore.AllReplicas, 50*time.Millisecond
	one := acquire(t, sem, 1)
	if got := replica.Do(t, "EXISTS", "key"); got != int64(1) {
		t.Error("the replica does not have the permit")
	}
	replica.Pause()
	if _, err := sem.TryAcquireLease(t.Context(), 2); !errors.Is(err, semaphore.ErrUnconfirmed) {
		t.Errorf("without the replica: %v", err)
	}
	redistest.Eventually(t, redistest.Patience/2, func() bool { // a call waits for a slow Redis only briefly
		status, err := sem.Inspect(t.Context())
		return err == nil && status.Used == 1 && one.Err() == nil
	}, "only the permit in use is left")
	replica.Continue()
	release(t, acquire(t, sem, 2))
	release(t, one)
}
