package waitgroup_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestClusterSlotMoves moves the slot of a group with tasks and waits of both styles to another master
// (rows 9 and 10). Tasks are renewed and waits continue throughout, because their commands name one key.
// Commands with two keys get TRYAGAIN and are retried. The end is published on all nodes (row 11).
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	c := redistest.StartCluster(t, 2)
	c.Errors(t, "TRYAGAIN") // skips the test on servers that do not count errors
	slot := c.Slot(t, "key")
	group := func() *waitgroup.WaitGroup { return groupOf(c.Client(t), ttl) }
	wg, there := group(), group()
	for _, split := range []bool{true, false} { // the keys are on two nodes
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
		}, "both processes are subscribed")

		refused := c.Errors(t, "TRYAGAIN")
		m := c.Migrate(t, slot)
		m.Move(t, "key")
		done := make(chan error, 2)
		if split {
			expectPending(t, "a wait during the move", waited, ttl) // the renewals during this time are under test
			go func() {
				done <- wg.DoneContext(t.Context())
				done <- task.Done()
			}()
			expectPending(t, "Done while the keys are on two nodes", done, 100*time.Millisecond)
			if c.Errors(t, "TRYAGAIN") == refused {
				t.Error("no script was refused")
			}
		}
		m.Finish(t)
		start, bound := time.Now(), poll
		if !split {
			expectPending(t, "a wait after the move of the slot", waited, ttl)
			start, bound = time.Now(), 0
			done <- wg.DoneContext(t.Context())
			done <- task.Done()
		}
		for range 2 {
			expectNil(t, receiveResult(t, "Done", done, start, bound))
		}
		for _, wait := range []<-chan error{waited, synced} {
			expectNil(t, receiveResult(t, "a wait after the move", wait, start, bound))
		}
	}
}

// TestClusterSlotMovesAtOnce moves the slot in one step, with the writes paused for 10 s (row 74). A task
// with a longer TTL is kept. A task with a shorter TTL is abandoned, and its loss is reported.
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
	}, "the waiter is subscribed")

	start := time.Now()
	from.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
	ctx, stop := gone.Context(t.Context())
	defer stop()
	<-ctx.Done()
	redistest.CheckDuration(t, "to report the loss", start, short, leeway)
	expectPending(t, "a wait while writes are paused", waited, time.Until(start.Add(pause)))
	c.MoveAtOnce(t, slot)
	from.Do(t, "CLIENT", "UNPAUSE")
	is(t, "Done of the lost task", gone.Done(), waitgroup.ErrLost)
	expectPending(t, "a wait for the other task", waited, time.Second)
	expectNil(t, kept.Done())
	lost(t, "the wait", receiveResult(t, "the wait", waited, time.Now(), poll), 1)
}

// TestClusterSlotBeginsToMove ends the last task of a generation while the slot of the group is being moved
// and its keys are still on the old node. If the script deleted the group's key, Redis would refuse the
// script's further access to it, and the generation would be lost.
func TestClusterSlotBeginsToMove(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	here, there := waitgroup.New(c.Client(t), "group"), waitgroup.New(c.Client(t), "group")
	expectNil(t, here.Do(t.Context(), func(context.Context) error {
		c.BeginMigration(t, c.Slot(t, "group"))
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	expectNil(t, there.WaitContext(ctx))
}
