package redisstore

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// A request that is sent again counts nothing, but a task lives as if it had come now.
func TestRoundRepetition(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		add := g.counts("s", lease.Add, 2)
		join := g.counts("s", lease.Join, a)
		start := g.counts("s", lease.Go, b)
		for _, c := range []lease.Change{join, start} {
			g.ends(c.Token, 3*time.Second)
			check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
			g.unchangedBut(c.Token, func() { equal(g.T, "again", g.send(c), lease.Counted) })
			g.lives(c.Token, lockTTL)
			g.expiry(g.key, groupLife)
		}
		g.unchanged("an add", func() { equal(g.T, "again", g.send(add), lease.Counted) })
		g.ends(a, -time.Millisecond)
		equal(g.T, "a join, too late", g.send(join), lease.Missed)
		g.stands("then", "1 b -1")
		done := g.counts("s", lease.Done, b)
		drop := g.answers(lease.Missed, "s", lease.Drop, a)
		sub := g.counts("s", lease.Add, -1)
		said := g.published(func() {
			g.unchanged("repetitions", func() {
				equal(g.T, "done", g.send(done), lease.Counted)
				equal(g.T, "drop", g.send(drop), lease.Missed)
				equal(g.T, "sub", g.send(sub), lease.Counted)
				equal(g.T, "go after done", g.send(start), lease.Missed)
				equal(g.T, "join", g.send(join), lease.Missed)
				equal(g.T, "add", g.send(add), lease.Counted)
			})
		})
		equal(g.T, "told again", len(said), 0)
		refused := g.answers(lease.Refused, "s", lease.Join, c)
		g.counts("s", lease.Add, 1)
		equal(g.T, "a refusal stands", g.send(refused), lease.Refused)
		g.stands("then", "1")
	})
}

// unchangedBut is unchanged, but for the end of a task.
func (g *group) unchangedBut(token string, f func()) {
	g.Helper()
	before := g.stock()
	f()
	after := g.stock()
	before.tasks[token], before.ttl = after.tasks[token], after.ttl
	equal(g.T, "the group", fmt.Sprint(after), fmt.Sprint(before))
}

// What is over is void, however late a copy comes.
func TestRoundCopyOfWhatIsOver(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		var late []lease.Change
		for _, row := range []struct {
			what lease.What
			of   any
		}{{lease.Add, 1}, {lease.Go, a}, {lease.Join, b}, {lease.Done, a}, {lease.Drop, a}, {lease.Add, -1}} {
			late = append(late, g.next("s", row.what, row.of))
		}
		late = append(late, late[0], late[1])
		late[6].What, late[7].What = lease.Undo, lease.Undo
		c := g.next("s", lease.Add, 3)
		c.Low = 6
		equal(g.T, "what comes after", g.send(c), lease.Counted)
		g.counts("s", lease.Go, a) // what a late copy would end
		g.unchanged("late copies", func() {
			for _, c := range late {
				equal(g.T, fmt.Sprintf("late %s", c.What), g.send(c), lease.Voided)
			}
		})
		c = g.next("s", lease.Add, 1)
		c.Low = 8
		g.send(c)
		equal(g.T, "remembered", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[9 low]")
		c = g.next("s", lease.Add, 1) // an older Low takes nothing back
		c.Low = 2
		g.send(c)
		equal(g.T, "low", g.rdb.HGet(g.Context(), g.operations("s"), "low").Val(), "8")
	})
}

func TestRoundUndo(t *testing.T) {
	t.Parallel()
	undo := func(g *group, c lease.Change, want lease.Answer, then string) {
		g.Helper()
		undo := c
		undo.What = lease.Undo
		equal(g.T, "undo", g.send(undo), want)
		g.stands("after the undo", then)
		g.unchanged("more copies", func() {
			equal(g.T, "a copy of what is undone", g.send(c), lease.Voided)
			equal(g.T, "undo again", g.send(undo), lease.Refused)
			equal(g.T, "a copy of what is undone", g.send(c), lease.Voided)
		})
	}
	eachGroup(t, func(g *group) {
		undo(g, g.next("s", lease.Add, 5), lease.Refused, "0") // before it
		undo(g, g.next("s", lease.Go, e), lease.Refused, "0")
		equal(g.T, "the group", g.stock().state, "")
		g.counts("t", lease.Add, 2)
		undo(g, g.counts("s", lease.Add, 5), lease.Counted, "2")
		undo(g, g.counts("s", lease.Add, -1), lease.Counted, "2")
		undo(g, g.answers(lease.Refused, "s", lease.Add, -3), lease.Refused, "2")
		undo(g, g.counts("s", lease.Go, a), lease.Counted, "2")
		undo(g, g.counts("s", lease.Join, b), lease.Counted, "2")
		gone := g.counts("s", lease.Join, c)
		g.ends(c, -time.Millisecond)
		undo(g, gone, lease.Refused, "1 -1")
		ended := g.counts("s", lease.Go, d)
		undo(g, g.counts("s", lease.Done, d), lease.Refused, "1 -1") // nobody undoes the end of a task
		undo(g, ended, lease.Refused, "1 -1")

		used := g.counts("s", lease.Add, 2)
		g.counts("t", lease.Add, -2)
		undo(g, used, lease.Refused, "1 -1") // less is left than it had added

		last := g.counts("s", lease.Add, -1)
		undo(g, last, lease.Refused, "0 -1") // it was what ended the round
		old := g.counts("s", lease.Add, 1)
		g.counts("t", lease.Add, -1)
		g.counts("t", lease.Add, 4)
		undo(g, old, lease.Refused, "4") // its round is over
		g.counts("t", lease.Add, -4)

		only := g.counts("s", lease.Go, e)
		round := g.look(0).Number
		said := g.published(func() { undo(g, only, lease.Counted, "0") })
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(round, 0)}))
	})
}

// Sessions share the group and nothing else: not their numbers, not what is over.
func TestRoundSessionsAreApart(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		one, two := g.counts("one", lease.Add, 1), g.counts("two", lease.Add, 10)
		equal(g.T, "op", one.Op, two.Op)
		g.stands("then", "11")
		low := g.next("one", lease.Add, 1)
		low.Low = 1
		equal(g.T, "a change", g.send(low), lease.Counted)
		equal(g.T, "a copy of one's", g.send(one), lease.Voided)
		equal(g.T, "a copy of two's", g.send(two), lease.Counted)
		two.What = lease.Undo
		equal(g.T, "two's undo", g.send(two), lease.Counted)
		g.stands("then", "2")
		g.counts("two", lease.Join, a) // anybody's
		g.counts("one", lease.Done, a)
		g.counts("two", lease.Add, -1)
		g.stands("then", "0")
		g.expiry(g.operations("one"), groupKept)
		check(g.T, g.rdb.Del(g.Context(), g.operations("two")).Err())
		equal(g.T, "one's, still", g.send(low), lease.Counted)
	})
}

// When the mark of what is over makes a leap, the records below it are deleted some at a time.
// Late copies of the operations are void all the while.
func TestRoundForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		slow := g.next("s", lease.Add, 1) // not answered for long
		for range 2500 {
			g.next("s", lease.Add, 1)
		}
		pipe := g.rdb.Pipeline()
		for i := range g.numbers["s"] - 1 {
			pipe.HSet(g.Context(), g.operations("s"), fmt.Sprint(i+2), "1 add 1 7")
		}
		must(pipe.Exec(g.Context()))(g.T)
		low := g.numbers["s"]
		for _, left := range []int64{1501, 501, 0, 0} {
			c := g.next("s", lease.Add, 1)
			c.Low = low
			equal(g.T, "answer", g.send(c), lease.Counted)
			for _, op := range []int64{slow.Op, low / 2, low} {
				late := lease.Change{Key: g.key, Session: "s", Op: op, What: lease.Add, Delta: 1, Low: 0}
				equal(g.T, fmt.Sprint("a copy of ", op), g.send(late), lease.Voided)
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
