package waitgroup_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestClusterSlotBeginsToMove ends the last task of a round while the slot of the group is
// being moved and its keys are still there. Had the script emptied the group in between,
// Redis would have kept the rest of it, and nobody would know of the round any more.
func TestClusterSlotBeginsToMove(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	here, there := waitgroup.New(c.Client(t), "group"), waitgroup.New(c.Client(t), "group")
	err := here.Do(t.Context(), func(context.Context) error {
		c.BeginMigration(t, c.Slot(t, "group"))
		return nil
	})
	if err != nil {
		t.Errorf("Done: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := there.WaitContext(ctx); err != nil {
		t.Errorf("Wait: %v", err)
	}
}
