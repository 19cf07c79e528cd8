package mutex_test

import (
	"errors"
	"fmt"
	"strings"
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
	err := c.Client(t).Do(t.Context(), "CLUSTER", "GETSLOTMIGRATIONS").Err()
	if err != nil {
		t.Skip("slots move atomically since Valkey 9.0")
	}
	a, b := mutex.New(c.Client(t), "key"), mutex.New(c.Client(t), "key")
	held := lock(t, a)
	for range 2 {
		next := b.LockChan(t.Context())
		redistest.Eventually(t, 10*time.Second, func() bool {
			s, err := a.Inspect(t.Context())
			return err == nil && s.Waiters == 1
		}, "it is awaited")
		from := c.Owner(t, slot)
		to := c.Nodes[0]
		if to == from {
			to = c.Nodes[1]
		}
		from.Do(t, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.Do(t, "CLUSTER", "MYID"))
		redistest.Eventually(t, 20*time.Second, func() bool {
			all := fmt.Sprint(from.Do(t, "CLUSTER", "GETSLOTMIGRATIONS"))
			if strings.Contains(all, "failed") {
				t.Fatal(all)
			}
			return c.Owner(t, slot) == to && to.Do(t, "EXISTS", "key") == int64(1)
		}, "the slot has moved")
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
