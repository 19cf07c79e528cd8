package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// What is stored, and for how long, to the byte.
func TestWaitGroupKeys(t *testing.T) {
	eachGroup(t, func(g *group) {
		before := g.now().UnixMicro()
		g.counts("s", taskgroup.OpAdd, 2)
		number := g.status(0).Number
		if after := g.now().UnixMicro(); number < before || number > after {
			g.Errorf("generation %d is not the server's time, %d to %d", number, before, after)
		}
		equal(g.T, "keys", fmt.Sprint(sorted(g.rdb.Keys(g.Context(), "*").Val()...)), fmt.Sprint(sorted(g.operations("s"), "key")))
		equal(g.T, "operations", g.operations("s"), "baton:{key}:ops:s")
		equal(g.T, "channel", g.channel, "baton:{key}:done")
		g.expiry(g.key, groupTTL)
		g.expiry(g.operations("s"), stateTTL)
		check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
		check(g.T, g.rdb.PExpire(g.Context(), g.operations("s"), time.Minute).Err())

		c := g.next("s", taskgroup.OpClaim, a)
		c.AckedThrough = 1
		equal(g.T, "claim", g.send(c), taskgroup.Applied)
		g.lives(a, lockTTL)
		g.expiry(g.key, groupTTL)
		g.expiry(g.operations("s"), stateTTL)
		g.stands("then", "1 a")
		equal(g.T, "the state", g.stored().state, fmt.Sprintf("generation %d count 1 abandoned 0 since %d", number, number))
		equal(g.T, "remembered", fmt.Sprint(g.rdb.HGetAll(g.Context(), g.operations("s")).Val()), fmt.Sprintf("map[2:1 claim %s %d %d acked:1]", a, number, number))

		said := g.published(func() {
			g.counts("s", taskgroup.OpAbandon, a)
			g.counts("s", taskgroup.OpAdd, -1)
		})
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 1)}))
		h, _ := parseMessage(strings.TrimPrefix(said[0], g.channel+": "))
		equal(g.T, "parsed", h, lease.Handover{Name: lease.Name{Kind: taskgroup.Kind, Key: g.key}, Seq: number, Weight: 1, Token: "-"})
		equal(g.T, "the group", fmt.Sprint(g.rdb.ZRangeWithScores(g.Context(), g.key, 0, -1).Val()),
			fmt.Sprintf("[{%g abandoned %d 1} {0 generation %d count 0 abandoned 1 since %d}]", float64(-number), number, number, number))
		g.expiry(g.key, stateTTL)
	})
}

// Each change says which generation it has found, whether that went on or was over, and the same
// when it is repeated: those who wait are bound to it.
func TestWaitGroupFound(t *testing.T) {
	eachGroup(t, func(g *group) {
		finds := func(what string, c taskgroup.Operation, want int64) {
			g.Helper()
			equal(g.T, what, must(g.UpdateGroup(g.Context(), c))(g.T).Found, want)
		}
		begin := g.next("s", taskgroup.OpAdd, 1)
		finds("of no group", begin, 0)
		first := g.status(0).Number
		end := g.next("s", taskgroup.OpAdd, -1)
		finds("of one that goes on", end, first)
		again := g.next("s", taskgroup.OpStart, a)
		finds("of one that is over", again, first)
		finds("of the next", g.next("s", taskgroup.OpDone, a), g.status(0).Number)
		finds("repeated", begin, 0)
		finds("repeated", end, first)
		finds("repeated", again, first)
	})
}

func TestWaitGroupAnswers(t *testing.T) {
	eachGroup(t, func(g *group) {
		equal(g.T, "nothing yet", fmt.Sprint(g.status(0)), fmt.Sprint(taskgroup.Generation{}))
		g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -1)
		g.answers(taskgroup.Rejected, "s", taskgroup.OpClaim, a)
		g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpAbandon, a)
		equal(g.T, "still nothing", fmt.Sprint(g.status(0)), fmt.Sprint(taskgroup.Generation{}))

		g.counts("s", taskgroup.OpAdd, 2)
		g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -3)
		g.counts("s", taskgroup.OpClaim, a)
		g.counts("s", taskgroup.OpClaim, b)
		g.answers(taskgroup.Rejected, "s", taskgroup.OpClaim, c)
		g.counts("s", taskgroup.OpStart, c)
		g.counts("s", taskgroup.OpDone, a)
		g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		g.stands("then", "0 b c")
		first := g.status(0)
		equal(g.T, "left", first.Remaining, 2)
		equal(g.T, "since", first.OldestKnown, first.Number)

		g.ends(b, 0) // now it is over
		g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, b)
		g.stands("then", "0 c -1")
		equal(g.T, "lost of a generation that goes on", len(g.status(0).Abandoned), 0)
		g.counts("s", taskgroup.OpAbandon, c)
		over := taskgroup.Generation{Number: first.Number, OldestKnown: first.OldestKnown, Abandoned: map[int64]int64{first.Number: 2}}
		for _, from := range []int64{0, 1, first.Number} {
			equal(g.T, "over", fmt.Sprint(g.status(from)), fmt.Sprint(over))
		}
		g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -1)
		equal(g.T, "still over", fmt.Sprint(g.status(0)), fmt.Sprint(over))

		g.counts("s", taskgroup.OpStart, d)
		second := g.status(0)
		if second.Number <= first.Number || second.OldestKnown != first.OldestKnown || second.Abandoned != nil {
			g.Errorf("after %+v comes %+v", first, second)
		}
		equal(g.T, "what became of the first", g.status(first.Number).Abandoned[first.Number], 2)
		g.counts("s", taskgroup.OpDone, d)
		equal(g.T, "a generation without loss", len(g.status(0).Abandoned), 0)
		g.counts("s", taskgroup.OpStart, e)
		g.ends(e, -time.Millisecond)
		equal(g.T, "a generation that a look ends", g.status(0).Remaining, 0)
	})
}

// Of generations that have lost tasks the last hundred are known.
func TestWaitGroupRecords(t *testing.T) {
	eachGroup(t, func(g *group) {
		var numbers []int64
		for i := range 103 {
			token := fmt.Sprint("baton:10000:", i)
			g.counts("s", taskgroup.OpStart, token)
			numbers = append(numbers, g.status(0).Number)
			if i == 50 { // one without a loss is not among them
				g.counts("s", taskgroup.OpDone, token)
				continue
			}
			g.counts("s", taskgroup.OpAbandon, token)
		}
		got := g.status(numbers[0])
		equal(g.T, "records", len(got.Abandoned), 100)
		equal(g.T, "number", got.Number, numbers[102])
		equal(g.T, "since", got.OldestKnown, numbers[1]+1) // two of the 102 have been dropped
		for i, number := range numbers {
			want := int64(1)
			if i < 2 || i == 50 {
				want = 0
			}
			equal(g.T, fmt.Sprint("lost of generation ", i), got.Abandoned[number], want)
		}
		equal(g.T, "from the middle on", len(g.status(numbers[60]).Abandoned), 43)
		equal(g.T, "members", g.rdb.ZCard(g.Context(), g.key).Val(), 101)
		g.counts("s", taskgroup.OpStart, a)
		equal(g.T, "since, in the next", g.status(0).OldestKnown, got.OldestKnown)
	})
}

// A group that was lost begins again, and says since when it knows of generations.
func TestWaitGroupAfterLoss(t *testing.T) {
	eachGroup(t, func(g *group) {
		add := g.counts("s", taskgroup.OpAdd, 2)
		g.counts("s", taskgroup.OpStart, a)
		was := g.status(0)
		check(g.T, g.rdb.Del(g.Context(), g.key).Err())
		equal(g.T, "without it", fmt.Sprint(g.status(was.Number)), fmt.Sprint(taskgroup.Generation{}))
		equal(g.T, "renewed", g.renew(a, lockTTL), false)
		equal(g.T, "a repetition", g.send(add), taskgroup.Applied)
		g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		add.Op = taskgroup.OpUndo
		equal(g.T, "an undo", g.send(add), taskgroup.Rejected)
		equal(g.T, "the group", g.stored().state, "")
		g.counts("s", taskgroup.OpAdd, 1)
		now := g.status(was.Number)
		if now.Number <= was.Number || now.OldestKnown != now.Number || now.Remaining != 1 {
			g.Errorf("after %+v comes %+v", was, now)
		}
	})
}

// A request that is sent again counts nothing, but a task lives as if it had come now.
func TestWaitGroupRepetition(t *testing.T) {
	eachGroup(t, func(g *group) {
		add := g.counts("s", taskgroup.OpAdd, 2)
		join := g.counts("s", taskgroup.OpClaim, a)
		start := g.counts("s", taskgroup.OpStart, b)
		for _, c := range []taskgroup.Operation{join, start} {
			g.ends(c.Token, 3*time.Second)
			for _, key := range []string{g.key, g.operations("s")} {
				check(g.T, g.rdb.PExpire(g.Context(), key, time.Minute).Err())
			}
			equal(g.T, "again", g.send(c), taskgroup.Applied)
			g.stands("again", "1 a b")
			g.lives(c.Token, lockTTL)
			g.expiry(g.key, groupTTL)
			g.expiry(g.operations("s"), stateTTL)
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
				equal(g.T, "start after done", g.send(start), taskgroup.TaskAbandoned)
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

// What is over is void, however late a copy comes.
func TestWaitGroupCopyOfWhatIsOver(t *testing.T) {
	eachGroup(t, func(g *group) {
		late := []taskgroup.Operation{
			g.next("s", taskgroup.OpAdd, 1), g.next("s", taskgroup.OpStart, a), g.next("s", taskgroup.OpClaim, b), g.next("s", taskgroup.OpDone, a),
			g.next("s", taskgroup.OpAbandon, a), g.next("s", taskgroup.OpAdd, -1),
		}
		late = append(late, late[0], late[1])
		late[6].Op, late[7].Op = taskgroup.OpUndo, taskgroup.OpUndo
		acks := func(delta int, through int64) {
			g.Helper()
			c := g.next("s", taskgroup.OpAdd, delta)
			c.AckedThrough = through
			equal(g.T, "what comes after", g.send(c), taskgroup.Applied)
		}
		acks(3, 6)
		g.counts("s", taskgroup.OpStart, a) // what a late copy would end
		g.unchanged("late copies", func() {
			for _, c := range late {
				equal(g.T, fmt.Sprintf("late %s", c.Op), g.send(c), taskgroup.Superseded)
			}
		})
		acks(1, 8)
		equal(g.T, "remembered", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[9 acked]")
		acks(1, 2) // an older mark takes nothing back
		equal(g.T, "acked", g.rdb.HGet(g.Context(), g.operations("s"), "acked").Val(), "8")
	})
}

func TestWaitGroupUndo(t *testing.T) {
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

		undo(g, g.counts("s", taskgroup.OpAdd, -1), taskgroup.Rejected, "0 -1") // it was what ended the generation
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

// When the mark of what is over makes a leap, the records below it are deleted some at a time.
// Late copies of the operations are void all the while.
func TestWaitGroupForgetsWhatIsOver(t *testing.T) {
	eachGroup(t, func(g *group) {
		slow := g.next("s", taskgroup.OpAdd, 1) // not answered for long
		g.numbers["s"] += 2500
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
		equal(g.T, "fields", g.rdb.HLen(g.Context(), g.operations("s")).Val(), 4+1) // and the mark
	})
}

func TestWaitGroupRenew(t *testing.T) {
	eachGroup(t, func(g *group) {
		g.unchanged("no group", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.counts("s", taskgroup.OpStart, a)
		g.ends(a, time.Second)
		check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
		equal(g.T, "renewed", g.renew(a, 2*lockTTL), true)
		g.lives(a, 2*lockTTL)
		g.expiry(g.key, groupTTL)
		g.unchanged("no task", func() { equal(g.T, "renewed", g.renew(b, lockTTL), false) })
		g.ends(a, 0)
		g.unchanged("a task whose time is over", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		equal(g.T, "left", g.status(0).Remaining, 0)
		g.unchanged("a generation that is over", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.expiry(g.key, stateTTL)
	})
}

// A clock that is set back lets nobody live longer than its TTL.
func TestWaitGroupClockSetBack(t *testing.T) {
	const long = "baton:20000:long"
	setBack := func(do func(g *group)) func(g *group) {
		return func(g *group) {
			g.counts("s", taskgroup.OpAdd, 1)
			g.counts("s", taskgroup.OpStart, a)
			g.counts("s", taskgroup.OpStart, long)
			g.ends(a, time.Hour+lockTTL-3*time.Second)
			g.ends(long, time.Hour+2*lockTTL-3*time.Second)
			check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
			do(g)
			g.lives(a, lockTTL)
			g.lives(long, 2*lockTTL)
			g.expiry(g.key, groupTTL)
			g.stands("then", "1 a long")
		}
	}
	t.Run("by the clock itself", func(t *testing.T) {
		m := miniredis.RunT(t)
		now := time.Unix(1_800_000_000, 0)
		m.SetTime(now)
		rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
		defer rdb.Close()
		g := newGroup(t, rdb, "key")
		g.counts("s", taskgroup.OpStart, a)
		first := g.status(0).Number
		m.SetTime(now.Add(-time.Hour))
		equal(t, "left", g.status(0).Remaining, 1)
		m.SetTime(now.Add(-time.Hour + lockTTL))
		equal(t, "renewed", g.renew(a, lockTTL), false)
		equal(t, "lost", g.status(0).Abandoned[first], 1)
		g.counts("s", taskgroup.OpStart, b)
		equal(t, "the next generation", g.status(0).Number, first+1)
	})
	eachGroup(t, func(g *group) {
		g.rows(map[string]func(*group){
			"a look":   setBack(func(g *group) { equal(g.T, "left", g.status(0).Remaining, 3) }),
			"a change": setBack(func(g *group) { g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -2) }),
		})
	})
}
