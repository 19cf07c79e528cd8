package waitgroup_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultSentinels has sentinels promote a replica that has not got the end of a
// task and the start of another (row 6). The first rises from the dead, and is
// abandoned when it has run out; the second is told that it is lost, and what it
// had joined is left to others. Who waits hears of all that.
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
		t.Fatalf("the failover has lost nothing: %d and %d tasks are left", count, tasks)
	}
	ctx, stop := second.Context(t.Context())
	defer stop()
	<-ctx.Done()
	redistest.CheckDuration(t, "to be told of the loss", start, ttl, leeway)
	is(t, "Done of what is lost", second.Done(), waitgroup.ErrLost)
	s.Promoted(t)
	goesOn(t, "a wait for what is left", waited, 0)
	start = time.Now()
	must(here.DoneContext(t.Context())) // what the second had joined
	lost(t, "the wait", ends(t, "the wait after a failover", waited, start, 2*ttl+poll), 1)
}
