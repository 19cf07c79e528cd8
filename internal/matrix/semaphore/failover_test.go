package semaphore_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestFaultSentinels has sentinels promote a replica that has not got a release and
// what others acquired (row 6): the old hold rises from the dead. The new holder
// is told, who waits goes on when the old hold has run out, and fences grow.
func TestFaultSentinels(t *testing.T) {
	t.Parallel()
	const old, ttl = 5 * time.Second, 1500 * time.Millisecond
	s := redistest.StartSentinels(t)
	first := acquire(t, weightedOf(s.Client(t), 3, old), 3)
	var second *semaphore.Lease
	var next <-chan semaphore.Result
	b, c, other := weightedOf(s.Client(t), 3, ttl), weightedOf(s.Client(t), 3, ttl), semaphore.NewWeighted(s.Client(t), "other", 1)
	s.FailOver(t, func() {
		release(t, first)
		second = acquire(t, b, 2)
		next = queued(t, s.Master.Client(t), c, 2, 1)
	})
	start := time.Now()
	acquired := make(chan error, 1)
	go func() { acquired <- other.Acquire(context.Background(), 1) }() // in x/sync's style, while there is no master
	loses(t, second, start, ttl)
	s.Promoted(t)
	start = time.Now()
	must(<-acquired)
	bounded(t, "to acquire when there is a master", start, time.Second+poll)
	other.Release(1)
	third := receive(t, "to wait for the old hold's end", next, old+poll)
	if first.Fence() >= second.Fence() || second.Fence() >= third.Fence() {
		t.Errorf("fences %d, %d, %d", first.Fence(), second.Fence(), third.Fence())
	}
	keeps(t, third, ttl)
	release(t, third)
	rests(t, s.Replica.Client(t), 0, "other")
}
