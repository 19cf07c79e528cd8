package redisstore

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A request that is sent again counts nothing, but a task lives as if it had come now.
func TestWaitGroupRepetition(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		add := g.counts("s", taskgroup.OpAdd, 2)
		join := g.counts("s", taskgroup.OpClaim, a)
		start := g.counts("s", taskgroup.OpStart, b)
		for _, c := range []taskgroup.Operation{join, start} {
			g.ends(c.Token, 3*time.Second)
			check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
			g.unchangedBut(c.Token, func() { equal(g.T, "again", g.send(c), taskgroup.Applied) })
			g.lives(c.Token, lockTTL)
			g.expiry(g.key, groupLife)
		}
		g.unchanged("an add", func() { equal(g.T, "again", g.send(add), taskgroup.Applied) })
		g.ends(a, -time.Millisecond)
		equal(g.T, "a join, too late", g.send(join), taskgroup.TaskAbandoned)
		g.stands("then", "1 b -1")
		done := g.counts("s", taskgroup.OpDone, b)
		drop := g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpAbandon, a)
		sub := g.counts("s", taskgroup.OpAdd, -1)
		said := g.published(func() {
			g.unchanged("repetitions", func() {
				equal(g.T, "done", g.send(done), taskgroup.Applied)
				equal(g.T, "drop", g.send(drop), taskgroup.TaskAbandoned)
				equal(g.T, "sub", g.send(sub), taskgroup.Applied)
				equal(g.T, "go after done", g.send(start), taskgroup.TaskAbandoned)
				equal(g.T, "join", g.send(join), taskgroup.TaskAbandoned)
				equal(g.T, "add", g.send(add), taskgroup.Applied)
			})
		})
		equal(g.T, "told again", len(said), 0)
		refused := g.answers(taskgroup.Rejected, "s", taskgroup.OpClaim, c)
		g.counts("s", taskgroup.OpAdd, 1)
		equal(g.T, "a refusal stands", g.send(refused), taskgroup.Rejected)
		g.stands("then", "1")
	})
}

// unchangedBut is unchanged, but for the end of a task.
func (g *group) unchangedBut(token string, f func()) {
	g.Helper()
	before := g.stored()
	f()
	after := g.stored()
	before.tasks[token], before.ttl = after.tasks[token], after.ttl
	equal(g.T, "the group", fmt.Sprint(after), fmt.Sprint(before))
}

// What is over is void, however late a copy comes.
func TestWaitGroupCopyOfWhatIsOver(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		var late []taskgroup.Operation
		for _, row := range []struct {
			what taskgroup.Op
			of   any
		}{{taskgroup.OpAdd, 1}, {taskgroup.OpStart, a}, {taskgroup.OpClaim, b}, {taskgroup.OpDone, a}, {taskgroup.OpAbandon, a}, {taskgroup.OpAdd, -1}} {
			late = append(late, g.next("s", row.what, row.of))
		}
		late = append(late, late[0], late[1])
		late[6].Op, late[7].Op = taskgroup.OpUndo, taskgroup.OpUndo
		c := g.next("s", taskgroup.OpAdd, 3)
		c.AckedThrough = 6
		equal(g.T, "what comes after", g.send(c), taskgroup.Applied)
		g.counts("s", taskgroup.OpStart, a) // what a late copy would end
		g.unchanged("late copies", func() {
			for _, c := range late {
				equal(g.T, fmt.Sprintf("late %s", c.Op), g.send(c), taskgroup.Superseded)
			}
		})
		c = g.next("s", taskgroup.OpAdd, 1)
		c.AckedThrough = 8
		g.send(c)
		equal(g.T, "remembered", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[9 acked]")
		c = g.next("s", taskgroup.OpAdd, 1) // an older Low takes nothing back
		c.AckedThrough = 2
		g.send(c)
		equal(g.T, "acked", g.rdb.HGet(g.Context(), g.operations("s"), "acked").Val(), "8")
	})
}

func TestWaitGroupUndo(t *testing.T) {
	t.Parallel()
	undo := func(g *group, c taskgroup.Operation, want taskgroup.Outcome, then string) {
		g.Helper()
		undo := c
		undo.Op = taskgroup.OpUndo
		equal(g.T, "undo", g.send(undo), want)
		g.stands("after the undo", then)
		g.unchanged("more copies", func() {
			equal(g.T, "a copy of what is undone", g.send(c), taskgroup.Superseded)
			equal(g.T, "undo again", g.send(undo), taskgroup.Rejected)
			equal(g.T, "a copy of what is undone", g.send(c), taskgroup.Superseded)
		})
	}
	eachGroup(t, func(g *group) {
		undo(g, g.next("s", taskgroup.OpAdd, 5), taskgroup.Rejected, "0") // before it
		undo(g, g.next("s", taskgroup.OpStart, e), taskgroup.Rejected, "0")
		equal(g.T, "the group", g.stored().state, "")
		g.counts("t", taskgroup.OpAdd, 2)
		undo(g, g.counts("s", taskgroup.OpAdd, 5), taskgroup.Applied, "2")
		undo(g, g.counts("s", taskgroup.OpAdd, -1), taskgroup.Applied, "2")
		undo(g, g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -3), taskgroup.Rejected, "2")
		undo(g, g.counts("s", taskgroup.OpStart, a), taskgroup.Applied, "2")
		undo(g, g.counts("s", taskgroup.OpClaim, b), taskgroup.Applied, "2")
		gone := g.counts("s", taskgroup.OpClaim, c)
		g.ends(c, -time.Millisecond)
		undo(g, gone, taskgroup.Rejected, "1 -1")
		ended := g.counts("s", taskgroup.OpStart, d)
		undo(g, g.counts("s", taskgroup.OpDone, d), taskgroup.Rejected, "1 -1") // nobody undoes the end of a task
		undo(g, ended, taskgroup.Rejected, "1 -1")

		used := g.counts("s", taskgroup.OpAdd, 2)
		g.counts("t", taskgroup.OpAdd, -2)
		undo(g, used, taskgroup.Rejected, "1 -1") // less is left than it had added

		last := g.counts("s", taskgroup.OpAdd, -1)
		undo(g, last, taskgroup.Rejected, "0 -1") // it was what ended the generation
		old := g.counts("s", taskgroup.OpAdd, 1)
		g.counts("t", taskgroup.OpAdd, -1)
		g.counts("t", taskgroup.OpAdd, 4)
		undo(g, old, taskgroup.Rejected, "4") // its generation is over
		g.counts("t", taskgroup.OpAdd, -4)

		only := g.counts("s", taskgroup.OpStart, e)
		number := g.status(0).Number
		said := g.published(func() { undo(g, only, taskgroup.Applied, "0") })
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 0)}))
	})
}

// Sessions share the group and nothing else: not their numbers, not what is over.
func TestWaitGroupSessionsAreApart(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		one, two := g.counts("one", taskgroup.OpAdd, 1), g.counts("two", taskgroup.OpAdd, 10)
		equal(g.T, "op", one.Seq, two.Seq)
		g.stands("then", "11")
		low := g.next("one", taskgroup.OpAdd, 1)
		low.AckedThrough = 1
		equal(g.T, "a change", g.send(low), taskgroup.Applied)
		equal(g.T, "a copy of one's", g.send(one), taskgroup.Superseded)
		equal(g.T, "a copy of two's", g.send(two), taskgroup.Applied)
		two.Op = taskgroup.OpUndo
		equal(g.T, "two's undo", g.send(two), taskgroup.Applied)
		g.stands("then", "2")
		g.counts("two", taskgroup.OpClaim, a) // anybody's
		g.counts("one", taskgroup.OpDone, a)
		g.counts("two", taskgroup.OpAdd, -1)
		g.stands("then", "0")
		g.expiry(g.operations("one"), groupKept)
		check(g.T, g.rdb.Del(g.Context(), g.operations("two")).Err())
		equal(g.T, "one's, still", g.send(low), taskgroup.Applied)
	})
}

// When the mark of what is over makes a leap, the records below it are deleted some at a time.
// Late copies of the operations are void all the while.
func TestWaitGroupForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		slow := g.next("s", taskgroup.OpAdd, 1) // not answered for long
		for range 2500 {
			g.next("s", taskgroup.OpAdd, 1)
		}
		pipe := g.rdb.Pipeline()
		for i := range g.numbers["s"] - 1 {
			pipe.HSet(g.Context(), g.operations("s"), fmt.Sprint(i+2), "1 add 1 7")
		}
		must(pipe.Exec(g.Context()))(g.T)
		low := g.numbers["s"]
		for _, left := range []int64{1501, 501, 0, 0} {
			c := g.next("s", taskgroup.OpAdd, 1)
			c.AckedThrough = low
			equal(g.T, "answer", g.send(c), taskgroup.Applied)
			for _, op := range []int64{slow.Seq, low / 2, low} {
				late := taskgroup.Operation{Key: g.key, Session: "s", Seq: op, Op: taskgroup.OpAdd, Delta: 1, AckedThrough: 0}
				equal(g.T, fmt.Sprint("a copy of ", op), g.send(late), taskgroup.Superseded)
			}
			records := int64(0)
			for _, field := range must(g.rdb.HKeys(g.Context(), g.operations("s")).Result())(g.T) {
				if n, err := strconv.ParseInt(field, 10, 64); err == nil && n <= low {
					records++
				}
			}
			equal(g.T, "records below the mark", records, left)
		}
		g.stands("then", "4")
		fields := must(g.rdb.HKeys(g.Context(), g.operations("s")).Result())(g.T)
		equal(g.T, "fields", len(fields), 4+1) // and the mark
	})
}
