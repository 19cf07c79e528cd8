package semaphore_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestClusterLimiter decides on a slot that moves (rows 9 and 10): the limiter has
// one key, and is not refused.
func TestClusterLimiter(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	l := semaphore.NewLimiter(c.Client(t), "key", semaphore.Every(time.Hour), 3)
	if !l.Allow() {
		t.Fatal("a full bucket has nothing")
	}
	m := c.Migrate(t, slot)
	if !l.Allow() {
		t.Error("what was not moved is not found")
	}
	m.Move(t, "key")
	if !l.Allow() {
		t.Error("what was moved is not found")
	}
	m.Finish(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if l.Allow() || l.Wait(ctx) == nil {
		t.Error("the move has filled the bucket")
	}
}
