package semaphore_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestClusterSlotMoves moves the slot of a semaphore whose permits are held and
// awaited, in both styles, to another master (rows 9 and 10). The holds are renewed
// throughout, for a renewal names one key. What names several is answered
// TRYAGAIN meanwhile, and is waited out.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	holder, waiter := c.Client(t), c.Client(t)
	here, there := weightedOf(holder, 4, ttl), weightedOf(waiter, 4, ttl)
	must(here.Acquire(t.Context(), 2)) // sync's style
	l := acquire(t, here, 2)
	next := there.AcquireChan(t.Context(), 3)
	from := c.Owner(t, slot)
	redistest.Eventually(t, 5*time.Second, func() bool { return len(from.Keys(t)) == 4 }, "it is awaited")

	refused := c.Errors(t, "TRYAGAIN")
	m := c.Migrate(t, slot)
	m.Move(t, "key")
	excludes(t, "while another has them", next, ttl) // the renewals that fall into it are what is tested
	released := make(chan error, 1)
	go func() {
		here.Release(2) // with the keys apart
		released <- l.Release()
	}()
	excludes(t, "with the keys apart", next, 100*time.Millisecond)
	if c.Errors(t, "TRYAGAIN") == refused {
		t.Error("no script was refused")
	}
	m.Finish(t)
	n := receive(t, "to be let in after the move", next, poll)
	if err := <-released; err != nil {
		t.Errorf("Release: %v", err)
	}
	if n.Fence() <= l.Fence() {
		t.Errorf("fence %d after %d", n.Fence(), l.Fence())
	}

	acquired := make(chan error, 1)
	go func() { acquired <- here.Acquire(t.Context(), 4) }()
	to := c.Owner(t, slot)
	redistest.Eventually(t, 5*time.Second, func() bool { return len(to.Keys(t)) == 4 }, "it is awaited")
	m = c.Migrate(t, slot)
	m.Move(t, "key")
	m.Finish(t)
	select {
	case err := <-acquired:
		t.Fatalf("let in while another has the permits: %v", err)
	case <-time.After(ttl):
	}
	if err := n.Err(); err != nil {
		t.Errorf("the hold ended: %v", err)
	}
	start := time.Now()
	release(t, n)
	must(<-acquired)
	bounded(t, "the hand-over after the move", start, 0)
	here.Release(4)
}

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

// TestClusterSlotMovesAtOnce moves the slot in one step, with the writes paused for 10 s (row 74).
// Permits whose TTL is longer are kept. Others are lost, and told before another has them.
func TestClusterSlotMovesAtOnce(t *testing.T) {
	t.Parallel()
	const short, pause = 2 * time.Second, 10 * time.Second
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	kept := acquire(t, weightedOf(c.Client(t), 4, 30*time.Second), 2)
	gone := acquire(t, weightedOf(c.Client(t), 4, short), 1)
	there := weightedOf(c.Client(t), 4, 30*time.Second)
	next := there.AcquireChan(t.Context(), 2)
	from := c.Owner(t, slot)
	redistest.Eventually(t, 5*time.Second, func() bool { return len(from.Keys(t)) == 4 }, "it is awaited")

	start := time.Now()
	from.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
	loses(t, gone, start, short)
	excludes(t, "while writes are paused", next, time.Until(start.Add(pause)))
	c.MoveAtOnce(t, slot)
	from.Do(t, "CLIENT", "UNPAUSE")
	l := receive(t, "to be let in after the move", next, poll)
	last := there.AcquireChan(t.Context(), 1)
	excludes(t, "while all permits are held", last, time.Second)
	keeps(t, kept, 0)
	release(t, kept)
	release(t, receive(t, "the hand-over after the move", last, poll))
	release(t, l)
}
