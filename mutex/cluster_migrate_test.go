package mutex_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestSlotMovesAtomically has a slot move at once, with all its keys, while a lock in it is held
// and awaited: there and back. The lock stays held, and is handed over afterwards.
func TestSlotMovesAtomically(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	a, b := mutex.New(c.Client(t), "key"), mutex.New(c.Client(t), "key")
	held := lock(t, a)
	for range 2 {
		next := b.LockChan(t.Context())
		redistest.Eventually(t, 10*time.Second, func() bool {
			s, err := a.Inspect(t.Context())
			return err == nil && s.Waiters == 1
		}, "it is awaited")
		if to := c.MoveAtomically(t, slot); to.Do(t, "EXISTS", "key") != int64(1) {
			t.Error("the key has not moved")
		}
		if err := held.Err(); err != nil {
			t.Errorf("held while the slot moved: %v", err)
		}
		if _, err := a.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try of what is held: %v", err)
		}
		fence := held.Fence()
		if err := held.Unlock(); err != nil {
			t.Errorf("unlock after the move: %v", err)
		}
		r := <-next
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if held = r.Lease; held.Fence() <= fence {
			t.Errorf("fence %d after %d", held.Fence(), fence)
		}
		a, b = b, a
	}
	unlock(t, held)
}
