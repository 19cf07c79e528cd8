package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A full server lets what has been counted come to its end; only more is refused.
func TestWaitGroupOutOfMemory(t *testing.T) {
	refused := func(g *group, what taskgroup.Op, of any) {
		g.Helper()
		g.unchanged("what is new", func() {
			_, err := g.UpdateGroup(g.Context(), g.next("s", what, of))
			expect(g.T, string(what), err, "passing", "OOM")
		})
	}
	g, s := realGroup(t)
	full := func(on bool) {
		t.Helper()
		s.Do(t, "CONFIG", "SET", "maxmemory", map[bool]string{true: "1", false: "0"}[on])
	}
	full(true)
	for range 2 { // when there is no group, and when one is over
		refused(g, taskgroup.OpAdd, 1)
		refused(g, taskgroup.OpStart, e)
		full(false)
		g.counts("s", taskgroup.OpAdd, 1)
		g.counts("s", taskgroup.OpAdd, -1)
		full(true)
	}
	full(false)
	g.counts("s", taskgroup.OpAdd, 6)
	g.counts("s", taskgroup.OpStart, a)
	start := g.counts("s", taskgroup.OpStart, b)
	joined := g.counts("s", taskgroup.OpClaim, c)
	added := g.counts("s", taskgroup.OpAdd, 2)
	g.counts("s", taskgroup.OpStart, d)
	number := g.status(0).Number
	full(true)
	refused(g, taskgroup.OpAdd, 1)
	refused(g, taskgroup.OpStart, e)
	refused(g, taskgroup.OpClaim, e)
	g.stands("full", "7 a b c d")

	ends := func(token string, in time.Duration) {
		t.Helper()
		full(false)
		g.ends(token, in)
		full(true)
	}
	ends(b, time.Second)
	equal(t, "a repetition", g.send(start), taskgroup.Applied)
	g.lives(b, lockTTL)
	ends(a, time.Second)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.lives(a, lockTTL)
	added.Op, joined.Op = taskgroup.OpUndo, taskgroup.OpUndo
	equal(t, "undo of an add", g.send(added), taskgroup.Applied)
	equal(t, "undo of a join", g.send(joined), taskgroup.Applied)
	g.counts("s", taskgroup.OpAdd, -6)
	g.counts("s", taskgroup.OpAbandon, b)
	g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, e)
	g.stands("at length", "0 a d -1")
	ends(a, time.Hour) // the clock is set back
	equal(t, "left", g.status(0).Remaining, 2)
	g.lives(a, lockTTL)
	ends(a, -time.Millisecond)
	equal(t, "left", g.status(0).Remaining, 1)
	said := g.published(func() { g.counts("s", taskgroup.OpDone, d) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 2)}))
	equal(t, "lost", g.status(0).Abandoned[number], 2)
}

// Redis lets a script go on that has begun to write, so that what would be refused is
// counted if it has had to end a task before.
func TestWaitGroupOutOfMemoryWhenTasksEnd(t *testing.T) {
	g, s := realGroup(t)
	g.counts("s", taskgroup.OpStart, a)
	number := g.status(0).Number
	g.ends(a, -time.Millisecond)
	s.Do(t, "CONFIG", "SET", "maxmemory", "1")
	said := g.published(func() { g.counts("s", taskgroup.OpStart, b) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 1)}))
	g.stands("then", "0 b")
}
