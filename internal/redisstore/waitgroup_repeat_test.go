package redisstore

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// A request that is sent again counts nothing, but a task lives as if it had come now.
func TestWaitGroupRepetition(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		add := g.counts("s", lease.OpAdd, 2)
		join := g.counts("s", lease.OpClaim, a)
		start := g.counts("s", lease.OpStart, b)
		for _, c := range []lease.Operation{join, start} {
			g.ends(c.Token, 3*time.Second)
			check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
			g.unchangedBut(c.Token, func() { equal(g.T, "again", g.send(c), lease.Applied) })
			g.lives(c.Token, lockTTL)
			g.expiry(g.key, groupLife)
		}
		g.unchanged("an add", func() { equal(g.T, "again", g.send(add), lease.Applied) })
		g.ends(a, -time.Millisecond)
		equal(g.T, "a join, too late", g.send(join), lease.TaskAbandoned)
		g.stands("then", "1 b -1")
		done := g.counts("s", lease.OpDone, b)
		drop := g.answers(lease.TaskAbandoned, "s", lease.OpAbandon, a)
		sub := g.counts("s", lease.OpAdd, -1)
		said := g.published(func() {
			g.unchanged("repetitions", func() {
				equal(g.T, "done", g.send(done), lease.Applied)
				equal(g.T, "drop", g.send(drop), lease.TaskAbandoned)
				equal(g.T, "sub", g.send(sub), lease.Applied)
				equal(g.T, "go after done", g.send(start), lease.TaskAbandoned)
				equal(g.T, "join", g.send(join), lease.TaskAbandoned)
				equal(g.T, "add", g.send(add), lease.Applied)
			})
		})
		equal(g.T, "told again", len(said), 0)
		refused := g.answers(lease.Rejected, "s", lease.OpClaim, c)
		g.counts("s", lease.OpAdd, 1)
		equal(g.T, "a refusal stands", g.send(refused), lease.Rejected)
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
		var late []lease.Operation
		for _, row := range []struct {
			what lease.Op
			of   any
		}{{lease.OpAdd, 1}, {lease.OpStart, a}, {lease.OpClaim, b}, {lease.OpDone, a}, {lease.OpAbandon, a}, {lease.OpAdd, -1}} {
			late = append(late, g.next("s", row.what, row.of))
		}
		late = append(late, late[0], late[1])
		late[6].Op, late[7].Op = lease.OpUndo, lease.OpUndo
		c := g.next("s", lease.OpAdd, 3)
		c.AckedThrough = 6
		equal(g.T, "what comes after", g.send(c), lease.Applied)
		g.counts("s", lease.OpStart, a) // what a late copy would end
		g.unchanged("late copies", func() {
			for _, c := range late {
				equal(g.T, fmt.Sprintf("late %s", c.Op), g.send(c), lease.Superseded)
			}
		})
		c = g.next("s", lease.OpAdd, 1)
		c.AckedThrough = 8
		g.send(c)
		equal(g.T, "remembered", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[9 acked]")
		c = g.next("s", lease.OpAdd, 1) // an older Low takes nothing back
		c.AckedThrough = 2
		g.send(c)
		equal(g.T, "acked", g.rdb.HGet(g.Context(), g.operations("s"), "acked").Val(), "8")
	})
}

func TestWaitGroupUndo(t *testing.T) {
	t.Parallel()
	undo := func(g *group, c lease.Operation, want lease.Outcome, then string) {
		g.Helper()
		undo := c
		undo.Op = lease.OpUndo
		equal(g.T, "undo", g.send(undo), want)
		g.stands("after the undo", then)
		g.unchanged("more copies", func() {
			equal(g.T, "a copy of what is undone", g.send(c), lease.Superseded)
			equal(g.T, "undo again", g.send(undo), lease.Rejected)
			equal(g.T, "a copy of what is undone", g.send(c), lease.Superseded)
		})
	}
	eachGroup(t, func(g *group) {
		undo(g, g.next("s", lease.OpAdd, 5), lease.Rejected, "0") // before it
		undo(g, g.next("s", lease.OpStart, e), lease.Rejected, "0")
		equal(g.T, "the group", g.stored().state, "")
		g.counts("t", lease.OpAdd, 2)
		undo(g, g.counts("s", lease.OpAdd, 5), lease.Applied, "2")
		undo(g, g.counts("s", lease.OpAdd, -1), lease.Applied, "2")
		undo(g, g.answers(lease.Rejected, "s", lease.OpAdd, -3), lease.Rejected, "2")
		undo(g, g.counts("s", lease.OpStart, a), lease.Applied, "2")
		undo(g, g.counts("s", lease.OpClaim, b), lease.Applied, "2")
		gone := g.counts("s", lease.OpClaim, c)
		g.ends(c, -time.Millisecond)
		undo(g, gone, lease.Rejected, "1 -1")
		ended := g.counts("s", lease.OpStart, d)
		undo(g, g.counts("s", lease.OpDone, d), lease.Rejected, "1 -1") // nobody undoes the end of a task
		undo(g, ended, lease.Rejected, "1 -1")

		used := g.counts("s", lease.OpAdd, 2)
		g.counts("t", lease.OpAdd, -2)
		undo(g, used, lease.Rejected, "1 -1") // less is left than it had added

		last := g.counts("s", lease.OpAdd, -1)
		undo(g, last, lease.Rejected, "0 -1") // it was what ended the generation
		old := g.counts("s", lease.OpAdd, 1)
		g.counts("t", lease.OpAdd, -1)
		g.counts("t", lease.OpAdd, 4)
		undo(g, old, lease.Rejected, "4") // its generation is over
		g.counts("t", lease.OpAdd, -4)

		only := g.counts("s", lease.OpStart, e)
		number := g.status(0).Number
		said := g.published(func() { undo(g, only, lease.Applied, "0") })
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 0)}))
	})
}

// Sessions share the group and nothing else: not their numbers, not what is over.
func TestWaitGroupSessionsAreApart(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		one, two := g.counts("one", lease.OpAdd, 1), g.counts("two", lease.OpAdd, 10)
		equal(g.T, "op", one.Seq, two.Seq)
		g.stands("then", "11")
		low := g.next("one", lease.OpAdd, 1)
		low.AckedThrough = 1
		equal(g.T, "a change", g.send(low), lease.Applied)
		equal(g.T, "a copy of one's", g.send(one), lease.Superseded)
		equal(g.T, "a copy of two's", g.send(two), lease.Applied)
		two.Op = lease.OpUndo
		equal(g.T, "two's undo", g.send(two), lease.Applied)
		g.stands("then", "2")
		g.counts("two", lease.OpClaim, a) // anybody's
		g.counts("one", lease.OpDone, a)
		g.counts("two", lease.OpAdd, -1)
		g.stands("then", "0")
		g.expiry(g.operations("one"), groupKept)
		check(g.T, g.rdb.Del(g.Context(), g.operations("two")).Err())
		equal(g.T, "one's, still", g.send(low), lease.Applied)
	})
}

// When the mark of what is over makes a leap, the records below it are deleted some at a time.
// Late copies of the operations are void all the while.
func TestWaitGroupForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		slow := g.next("s", lease.OpAdd, 1) // not answered for long
		for range 2500 {
			g.next("s", lease.OpAdd, 1)
		}
		pipe := g.rdb.Pipeline()
		for i := range g.numbers["s"] - 1 {
			pipe.HSet(g.Context(), g.operations("s"), fmt.Sprint(i+2), "1 add 1 7")
		}
		must(pipe.Exec(g.Context()))(g.T)
		low := g.numbers["s"]
		for _, left := range []int64{1501, 501, 0, 0} {
			c := g.next("s", lease.OpAdd, 1)
			c.AckedThrough = low
			equal(g.T, "answer", g.send(c), lease.Applied)
			for _, op := range []int64{slow.Seq, low / 2, low} {
				late := lease.Operation{Key: g.key, Session: "s", Seq: op, Op: lease.OpAdd, Delta: 1, AckedThrough: 0}
				equal(g.T, fmt.Sprint("a copy of ", op), g.send(late), lease.Superseded)
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
