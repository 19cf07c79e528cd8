package waitgroup_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestClusterSlotMoves moves the slot of a group that has tasks and is awaited, in
// both styles, to another master (rows 9 and 10). Tasks are renewed, and waits go on,
// throughout: both name one key. What names two is answered TRYAGAIN meanwhile, and
// is waited out. The end is told on all nodes (row 11).
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	c := redistest.StartCluster(t, 2)
	c.Errors(t, "TRYAGAIN") // skips the test where it cannot see them
	slot := c.Slot(t, "key")
	group := func() *waitgroup.WaitGroup { return groupOf(c.Client(t), ttl) }
	wg, there := group(), group()
	for _, apart := range []bool{true, false} {
		wg.Add(2)
		task := claim(t, there)
		waited, synced := there.WaitChan(t.Context()), make(chan error, 1)
		go func() {
			wg.Wait() // panics if there is an error
			synced <- nil
		}()
		redistest.Eventually(t, 5*time.Second, func() bool {
			n := 0
			for _, node := range c.Nodes {
				n += node.Subscribers(t, "baton:{key}:done")
			}
			return n == 2
		}, "both listen")

		refused := c.Errors(t, "TRYAGAIN")
		m := c.Migrate(t, slot)
		m.Move(t, "key")
		done := make(chan error, 2)
		if apart {
			goesOn(t, "a wait for a group that moves", waited, ttl) // the renewals that fall into it are what is tested
			go func() {
				done <- wg.DoneContext(t.Context())
				done <- task.Done()
			}()
			goesOn(t, "to count with the keys apart", done, 100*time.Millisecond)
			if c.Errors(t, "TRYAGAIN") == refused {
				t.Error("no script was refused")
			}
		}
		m.Finish(t)
		start, bound := time.Now(), poll
		if !apart {
			goesOn(t, "a wait for a group that has moved", waited, ttl)
			start, bound = time.Now(), 0
			done <- wg.DoneContext(t.Context())
			done <- task.Done()
		}
		for range 2 {
			succeeds(t, ends(t, "Done", done, start, bound))
		}
		for _, wait := range []<-chan error{waited, synced} {
			succeeds(t, ends(t, "a wait after the move", wait, start, bound))
		}
	}
}

// TestClusterSlotMovesAtOnce moves the slot in one step, with the writes paused for 10 s (row 74).
// A task whose TTL is longer is kept. Another counts as abandoned, and its holder is told.
func TestClusterSlotMovesAtOnce(t *testing.T) {
	t.Parallel()
	const short, pause = 2 * time.Second, 10 * time.Second
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	group := func(ttl time.Duration) *waitgroup.WaitGroup { return groupOf(c.Client(t), ttl) }
	long, brief := group(30*time.Second), group(short)
	long.Add(2)
	kept, gone := claim(t, long), claim(t, brief)
	waited := group(30 * time.Second).WaitChan(t.Context())
	from := c.Owner(t, slot)
	redistest.Eventually(t, 5*time.Second, func() bool {
		return c.Nodes[0].Subscribers(t, "baton:{key}:done")+c.Nodes[1].Subscribers(t, "baton:{key}:done") == 1
	}, "somebody listens")

	start := time.Now()
	from.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
	ctx, stop := gone.Context(t.Context())
	defer stop()
	<-ctx.Done()
	redistest.CheckDuration(t, "to be told of the loss", start, short, leeway)
	goesOn(t, "a wait while writes are paused", waited, time.Until(start.Add(pause)))
	c.MoveAtOnce(t, slot)
	from.Do(t, "CLIENT", "UNPAUSE")
	is(t, "Done of the lost task", gone.Done(), waitgroup.ErrLost)
	goesOn(t, "a wait for the other task", waited, time.Second)
	succeeds(t, kept.Done())
	lost(t, "the wait", ends(t, "the wait", waited, time.Now(), poll), 1)
}

// TestClusterSlotBeginsToMove ends the last task of a round while the slot of the group is being
// moved and its keys are still there. Had the script emptied the group in between, Redis would have
// kept the rest of it, and nobody would know of the round any more.
func TestClusterSlotBeginsToMove(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	here, there := waitgroup.New(c.Client(t), "group"), waitgroup.New(c.Client(t), "group")
	succeeds(t, here.Do(t.Context(), func(context.Context) error {
		c.BeginMigration(t, c.Slot(t, "group"))
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	succeeds(t, there.WaitContext(ctx))
}
