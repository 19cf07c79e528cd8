package waitgroup_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultSentinels fails over to a replica that lacks the end of a task and the start of another (row
// 6). The first task exists again, and is abandoned when it has expired. The second task's loss is
// reported, and its count can be claimed again. The waiter gets the result of both.
func TestFaultSentinels(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.StartSentinels(t)
	group := func() *waitgroup.WaitGroup { return groupOf(s.Client(t), ttl) }
	here, there := group(), group()
	here.Add(2)
	first := claim(t, here)
	waited := there.WaitChan(t.Context())
	listening(t, s.Master.Client(t), 1)
	var second *waitgroup.Task
	s.FailOver(t, func() {
		must(first.Done())
		second = claim(t, there)
	})
	start := time.Now()
	if count, tasks := kit.Outstanding(t, s.Replica.Client(t)); count != 1 || tasks != 1 {
		t.Fatalf("the failover has lost no write: a count of %d and %d tasks are left", count, tasks)
	}
	ctx, stop := second.Context(t.Context())
	defer stop()
	<-ctx.Done()
	redistest.CheckDuration(t, "to report the loss", start, ttl, leeway)
	is(t, "Done of the lost task", second.Done(), waitgroup.ErrLost)
	s.Promoted(t)
	expectPending(t, "a wait for the remaining count", waited, 0)
	start = time.Now()
	must(here.DoneContext(t.Context())) // the count that the second task had claimed
	lost(t, "the wait", receiveResult(t, "the wait after a failover", waited, start, 2*ttl+poll), 1)
}
