package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A server without memory still executes operations that end something. It refuses only new tasks and
// additions.
func TestWaitGroupOutOfMemory(t *testing.T) {
	g, s := realGroup(t)
	refused := func(op taskgroup.Op, arg any) {
		t.Helper()
		g.unchanged("a refused operation", func() {
			_, err := g.UpdateGroup(g.Context(), g.next("s", op, arg))
			expect(t, string(op), err, "passing", "OOM")
		})
	}
	full := func(on bool) {
		t.Helper()
		s.Do(t, "CONFIG", "SET", "maxmemory", map[bool]string{true: "1", false: "0"}[on])
	}
	full(true)
	for range 2 { // without a group, and with a finished one
		refused(taskgroup.OpAdd, 1)
		refused(taskgroup.OpStart, e)
		full(false)
		g.applies("s", taskgroup.OpAdd, 1)
		g.applies("s", taskgroup.OpAdd, -1)
		full(true)
	}
	full(false)
	g.applies("s", taskgroup.OpAdd, 6)
	g.applies("s", taskgroup.OpStart, a)
	start := g.applies("s", taskgroup.OpStart, b)
	claimed := g.applies("s", taskgroup.OpClaim, c)
	added := g.applies("s", taskgroup.OpAdd, 2)
	g.applies("s", taskgroup.OpStart, d)
	number := g.status(0).Number
	full(true)
	refused(taskgroup.OpAdd, 1)
	refused(taskgroup.OpStart, e)
	refused(taskgroup.OpClaim, e)
	g.checkState("without memory", "7 a b c d")

	setEnd := func(token string, in time.Duration) {
		t.Helper()
		full(false)
		g.setEnd(token, in)
		full(true)
	}
	setEnd(b, time.Second)
	equal(t, "a repetition", g.send(start), taskgroup.Applied)
	g.taskRemains(b, lockTTL)
	setEnd(a, time.Second)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.taskRemains(a, lockTTL)
	added.Op, claimed.Op = taskgroup.OpUndo, taskgroup.OpUndo
	equal(t, "undo of an add", g.send(added), taskgroup.Applied)
	equal(t, "undo of a claim", g.send(claimed), taskgroup.Applied)
	g.applies("s", taskgroup.OpAdd, -6)
	g.applies("s", taskgroup.OpAbandon, b)
	g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, e)
	g.checkState("then", "0 a d -1")
	setEnd(a, time.Hour) // the clock is set back
	equal(t, "remaining", g.status(0).Remaining, 2)
	g.taskRemains(a, lockTTL)
	setEnd(a, -time.Millisecond)
	equal(t, "remaining", g.status(0).Remaining, 1)
	messages := g.published(func() { g.applies("s", taskgroup.OpDone, d) })
	equal(t, "messages", fmt.Sprint(messages), fmt.Sprint([]string{g.ended(number, 2)}))
	equal(t, "abandoned", g.status(0).Abandoned[number], 2)
}

// Redis does not stop a script that has begun to write. So a new task counts if the script first had to
// end an expired one.
func TestWaitGroupOutOfMemoryWhenTasksEnd(t *testing.T) {
	g, s := realGroup(t)
	g.applies("s", taskgroup.OpStart, a)
	number := g.status(0).Number
	g.setEnd(a, -time.Millisecond)
	s.Do(t, "CONFIG", "SET", "maxmemory", "1")
	messages := g.published(func() { g.applies("s", taskgroup.OpStart, b) })
	equal(t, "messages", fmt.Sprint(messages), fmt.Sprint([]string{g.ended(number, 1)}))
	g.checkState("then", "0 b")
}
