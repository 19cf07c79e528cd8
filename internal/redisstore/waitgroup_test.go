package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// TestWaitGroupKeys checks the exact stored data, and its TTLs.
func TestWaitGroupKeys(t *testing.T) {
	eachGroup(t, func(g *group) {
		before := g.now().UnixMicro()
		g.applies("s", taskgroup.OpAdd, 2)
		number := g.status(0).Number
		if after := g.now().UnixMicro(); number < before || number > after {
			g.Errorf("generation %d is not the server's time, %d to %d", number, before, after)
		}
		equal(g.T, "keys", fmt.Sprint(sorted(g.rdb.Keys(g.Context(), "*").Val()...)), fmt.Sprint(sorted(g.operations("s"), "key")))
		equal(g.T, "operations", g.operations("s"), "baton:{key}:ops:s")
		equal(g.T, "channel", g.channel, "baton:{key}:done")
		g.expiry(g.lock, groupTTL)
		g.expiry(g.operations("s"), stateTTL)
		check(g.T, g.rdb.PExpire(g.Context(), g.lock, time.Minute).Err())
		check(g.T, g.rdb.PExpire(g.Context(), g.operations("s"), time.Minute).Err())

		c := g.next("s", taskgroup.OpClaim, a)
		c.AckedThrough = 1
		equal(g.T, "claim", g.send(c), taskgroup.Applied)
		g.taskRemains(a, lockTTL)
		g.expiry(g.lock, groupTTL)
		g.expiry(g.operations("s"), stateTTL)
		g.checkState("then", "1 a")
		state, _ := g.storedState()
		equal(g.T, "the state", state, fmt.Sprintf("generation %d count 1 abandoned 0 since %d", number, number))
		equal(g.T, "records", fmt.Sprint(g.rdb.HGetAll(g.Context(), g.operations("s")).Val()), fmt.Sprintf("map[2:1 claim %s %d %d acked:1]", a, number, number))

		messages := g.published(func() {
			g.applies("s", taskgroup.OpAbandon, a)
			g.applies("s", taskgroup.OpAdd, -1)
		})
		equal(g.T, "messages", fmt.Sprint(messages), g.ended(number, 1))
		h, _ := parseMessage(strings.TrimPrefix(messages[0], g.channel+": "))
		equal(g.T, "parsed", h, lease.Handover{Name: groupAt(g.lock), Seq: number, Weight: 1, Token: "-"})
		equal(g.T, "the group", fmt.Sprint(g.rdb.ZRangeWithScores(g.Context(), g.lock, 0, -1).Val()),
			fmt.Sprintf("[{%g abandoned %d 1} {0 generation %d count 0 abandoned 1 since %d}]", float64(-number), number, number, number))
		g.expiry(g.lock, stateTTL)
	})
}

// The reply to each update has the number of the generation that it found, running or finished, because
// waits are bound to it. A repetition has the same number.
func TestWaitGroupFound(t *testing.T) {
	eachGroup(t, func(g *group) {
		finds := func(what string, c taskgroup.Operation, want int64) {
			g.Helper()
			equal(g.T, what, must(g.UpdateGroup(g.Context(), c))(g.T).Found, want)
		}
		begin := g.next("s", taskgroup.OpAdd, 1)
		finds("no group", begin, 0)
		first := g.status(0).Number
		end := g.next("s", taskgroup.OpAdd, -1)
		finds("a running generation", end, first)
		again := g.next("s", taskgroup.OpStart, a)
		finds("a finished generation", again, first)
		finds("the next generation", g.next("s", taskgroup.OpDone, a), g.status(0).Number)
		finds("repeated", begin, 0)
		finds("repeated", end, first)
		finds("repeated", again, first)
	})
}

func TestWaitGroupOutcomes(t *testing.T) {
	eachGroup(t, func(g *group) {
		equal(g.T, "no group", fmt.Sprint(g.status(0)), fmt.Sprint(taskgroup.Generation{}))
		g.updates(taskgroup.Rejected, "s", taskgroup.OpAdd, -1)
		g.updates(taskgroup.Rejected, "s", taskgroup.OpClaim, a)
		g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpAbandon, a)
		equal(g.T, "still no group", fmt.Sprint(g.status(0)), fmt.Sprint(taskgroup.Generation{}))

		g.applies("s", taskgroup.OpAdd, 2)
		g.updates(taskgroup.Rejected, "s", taskgroup.OpAdd, -3)
		g.applies("s", taskgroup.OpClaim, a)
		g.applies("s", taskgroup.OpClaim, b)
		g.updates(taskgroup.Rejected, "s", taskgroup.OpClaim, c)
		g.applies("s", taskgroup.OpStart, c)
		g.applies("s", taskgroup.OpDone, a)
		g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		g.checkState("then", "0 b c")
		first := g.status(0)
		equal(g.T, "remaining", first.Remaining, 2)
		equal(g.T, "since", first.OldestKnown, first.Number)

		g.setEnd(b, 0) // expires now
		g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, b)
		g.checkState("then", "0 c -1")
		equal(g.T, "abandoned tasks of a running generation", len(g.status(0).Abandoned), 0)
		g.applies("s", taskgroup.OpAbandon, c)
		over := taskgroup.Generation{Number: first.Number, OldestKnown: first.OldestKnown, Abandoned: map[int64]int64{first.Number: 2}}
		for _, from := range []int64{0, 1, first.Number} {
			equal(g.T, "finished", fmt.Sprint(g.status(from)), fmt.Sprint(over))
		}
		g.updates(taskgroup.Rejected, "s", taskgroup.OpAdd, -1)
		equal(g.T, "still finished", fmt.Sprint(g.status(0)), fmt.Sprint(over))

		g.applies("s", taskgroup.OpStart, d)
		second := g.status(0)
		if second.Number <= first.Number || second.OldestKnown != first.OldestKnown || second.Abandoned != nil {
			g.Errorf("after %+v comes %+v", first, second)
		}
		equal(g.T, "abandoned tasks of the first generation", g.status(first.Number).Abandoned[first.Number], 2)
		g.applies("s", taskgroup.OpDone, d)
		equal(g.T, "a generation without abandoned tasks", len(g.status(0).Abandoned), 0)
		g.applies("s", taskgroup.OpStart, e)
		g.setEnd(e, -time.Millisecond)
		equal(g.T, "a generation that GroupStatus finishes", g.status(0).Remaining, 0)
	})
}

// The group keeps records of the last hundred generations with abandoned tasks.
func TestWaitGroupRecords(t *testing.T) {
	eachGroup(t, func(g *group) {
		var numbers []int64
		for i := range 103 {
			token := fmt.Sprint("baton:10000:", i)
			g.applies("s", taskgroup.OpStart, token)
			numbers = append(numbers, g.status(0).Number)
			if i == 50 { // without an abandoned task there is no record
				g.applies("s", taskgroup.OpDone, token)
				continue
			}
			g.applies("s", taskgroup.OpAbandon, token)
		}
		got := g.status(numbers[0])
		equal(g.T, "records", len(got.Abandoned), 100)
		equal(g.T, "number", got.Number, numbers[102])
		equal(g.T, "since", got.OldestKnown, numbers[1]+1) // two of the 102 records were dropped
		for i, number := range numbers {
			want := int64(1)
			if i < 2 || i == 50 {
				want = 0
			}
			equal(g.T, fmt.Sprint("abandoned tasks of generation ", i), got.Abandoned[number], want)
		}
		equal(g.T, "from the middle on", len(g.status(numbers[60]).Abandoned), 43)
		equal(g.T, "members", g.rdb.ZCard(g.Context(), g.lock).Val(), 101)
		g.applies("s", taskgroup.OpStart, a)
		equal(g.T, "since, in the next", g.status(0).OldestKnown, got.OldestKnown)
	})
}

// A lost group starts again. OldestKnown is then the first generation after the loss.
func TestWaitGroupAfterLoss(t *testing.T) {
	eachGroup(t, func(g *group) {
		add := g.applies("s", taskgroup.OpAdd, 2)
		g.applies("s", taskgroup.OpStart, a)
		was := g.status(0)
		check(g.T, g.rdb.Del(g.Context(), g.lock).Err())
		equal(g.T, "without the key", fmt.Sprint(g.status(was.Number)), fmt.Sprint(taskgroup.Generation{}))
		equal(g.T, "renewed", g.renew(a, lockTTL), false)
		equal(g.T, "a repetition", g.send(add), taskgroup.Applied)
		g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, a)
		add.Op = taskgroup.OpUndo
		equal(g.T, "an undo", g.send(add), taskgroup.Rejected)
		equal(g.T, "the group", g.rdb.Exists(g.Context(), g.lock).Val(), 0)
		g.applies("s", taskgroup.OpAdd, 1)
		now := g.status(was.Number)
		if now.Number <= was.Number || now.OldestKnown != now.Number || now.Remaining != 1 {
			g.Errorf("after %+v comes %+v", was, now)
		}
	})
}

// A repeated request does not count again, but it renews its task.
func TestWaitGroupRepetition(t *testing.T) {
	eachGroup(t, func(g *group) {
		add := g.applies("s", taskgroup.OpAdd, 2)
		claim := g.applies("s", taskgroup.OpClaim, a)
		start := g.applies("s", taskgroup.OpStart, b)
		for _, c := range []taskgroup.Operation{claim, start} {
			g.setEnd(c.Token, 3*time.Second)
			for _, key := range []string{g.lock, g.operations("s")} {
				check(g.T, g.rdb.PExpire(g.Context(), key, time.Minute).Err())
			}
			equal(g.T, "again", g.send(c), taskgroup.Applied)
			g.checkState("again", "1 a b")
			g.taskRemains(c.Token, lockTTL)
			g.expiry(g.lock, groupTTL)
			g.expiry(g.operations("s"), stateTTL)
		}
		g.unchanged("an add", func() { equal(g.T, "again", g.send(add), taskgroup.Applied) })
		g.setEnd(a, -time.Millisecond)
		equal(g.T, "a claim, too late", g.send(claim), taskgroup.TaskAbandoned)
		g.checkState("then", "1 b -1")
		done := g.applies("s", taskgroup.OpDone, b)
		abandon := g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpAbandon, a)
		sub := g.applies("s", taskgroup.OpAdd, -1)
		messages := g.published(func() {
			g.unchanged("repetitions", func() {
				equal(g.T, "done", g.send(done), taskgroup.Applied)
				equal(g.T, "abandon", g.send(abandon), taskgroup.TaskAbandoned)
				equal(g.T, "sub", g.send(sub), taskgroup.Applied)
				equal(g.T, "start after done", g.send(start), taskgroup.TaskAbandoned)
				equal(g.T, "claim", g.send(claim), taskgroup.TaskAbandoned)
				equal(g.T, "add", g.send(add), taskgroup.Applied)
			})
		})
		equal(g.T, "further messages", len(messages), 0)
		refused := g.updates(taskgroup.Rejected, "s", taskgroup.OpClaim, c)
		g.applies("s", taskgroup.OpAdd, 1)
		equal(g.T, "a repeated refusal", g.send(refused), taskgroup.Rejected)
		g.checkState("then", "1")
	})
}

// A copy of an acknowledged operation has no effect, however late it arrives.
func TestWaitGroupCopyOfAnAckedOperation(t *testing.T) {
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
			equal(g.T, "the next operation", g.send(c), taskgroup.Applied)
		}
		acks(3, 6)
		g.applies("s", taskgroup.OpStart, a) // a late copy would end this task
		g.unchanged("late copies", func() {
			for _, c := range late {
				equal(g.T, fmt.Sprintf("late %s", c.Op), g.send(c), taskgroup.Superseded)
			}
		})
		acks(1, 8)
		equal(g.T, "records", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[9 acked]")
		acks(1, 2) // a lower number has no effect
		equal(g.T, "acked", g.rdb.HGet(g.Context(), g.operations("s"), "acked").Val(), "8")

		check(g.T, g.rdb.Del(g.Context(), g.operations("s")).Err())
		g.numbers["s"] = 5000
		acks(1, 5000)
		equal(g.T, "records after a loss", fmt.Sprint(sorted(g.rdb.HKeys(g.Context(), g.operations("s")).Val()...)), "[5001 acked]")
	})
}

func TestWaitGroupUndo(t *testing.T) {
	undo := func(g *group, c taskgroup.Operation, want taskgroup.Outcome, then string) {
		g.Helper()
		undo := c
		undo.Op = taskgroup.OpUndo
		equal(g.T, "undo", g.send(undo), want)
		g.checkState("after the undo", then)
		g.unchanged("more copies", func() {
			equal(g.T, "a copy of the operation", g.send(c), taskgroup.Superseded)
			equal(g.T, "undo again", g.send(undo), taskgroup.Rejected)
			equal(g.T, "a copy of the operation", g.send(c), taskgroup.Superseded)
		})
	}
	eachGroup(t, func(g *group) {
		undo(g, g.next("s", taskgroup.OpAdd, 5), taskgroup.Rejected, "0") // before the operation
		undo(g, g.next("s", taskgroup.OpStart, e), taskgroup.Rejected, "0")
		equal(g.T, "the group", g.rdb.Exists(g.Context(), g.lock).Val(), 0)
		g.applies("t", taskgroup.OpAdd, 2)
		undo(g, g.applies("s", taskgroup.OpAdd, 5), taskgroup.Applied, "2")
		undo(g, g.applies("s", taskgroup.OpAdd, -1), taskgroup.Applied, "2")
		undo(g, g.updates(taskgroup.Rejected, "s", taskgroup.OpAdd, -3), taskgroup.Rejected, "2")
		undo(g, g.applies("s", taskgroup.OpStart, a), taskgroup.Applied, "2")
		undo(g, g.applies("s", taskgroup.OpClaim, b), taskgroup.Applied, "2")
		expired := g.applies("s", taskgroup.OpClaim, c)
		g.setEnd(c, -time.Millisecond)
		undo(g, expired, taskgroup.Rejected, "1 -1")
		ended := g.applies("s", taskgroup.OpStart, d)
		undo(g, g.applies("s", taskgroup.OpDone, d), taskgroup.Rejected, "1 -1") // the end of a task cannot be undone
		undo(g, ended, taskgroup.Rejected, "1 -1")

		used := g.applies("s", taskgroup.OpAdd, 2)
		g.applies("t", taskgroup.OpAdd, -2)
		undo(g, used, taskgroup.Rejected, "1 -1") // the count is less than it had added

		undo(g, g.applies("s", taskgroup.OpAdd, -1), taskgroup.Rejected, "0 -1") // it finished the generation
		old := g.applies("s", taskgroup.OpAdd, 1)
		g.applies("t", taskgroup.OpAdd, -1)
		g.applies("t", taskgroup.OpAdd, 4)
		undo(g, old, taskgroup.Rejected, "4") // its generation is finished
		g.applies("t", taskgroup.OpAdd, -4)

		only := g.applies("s", taskgroup.OpStart, e)
		number := g.status(0).Number
		messages := g.published(func() { undo(g, only, taskgroup.Applied, "0") })
		equal(g.T, "messages", fmt.Sprint(messages), g.ended(number, 0))
	})
}

// When the acknowledged number jumps, the records below it are deleted in batches. Late copies of their
// operations have no effect in the meantime.
func TestWaitGroupDeletesAckedRecords(t *testing.T) {
	eachGroup(t, func(g *group) {
		slow := g.next("s", taskgroup.OpAdd, 1) // without a reply for a long time
		g.numbers["s"] += 2500
		pipe := g.rdb.Pipeline()
		for i := range g.numbers["s"] - 1 {
			pipe.HSet(g.Context(), g.operations("s"), fmt.Sprint(i+2), "1 add 1 7")
		}
		must(pipe.Exec(g.Context()))(g.T)
		low := g.numbers["s"]
		for _, remaining := range []int64{1501, 501, 0, 0} {
			c := g.next("s", taskgroup.OpAdd, 1)
			c.AckedThrough = low
			equal(g.T, "outcome", g.send(c), taskgroup.Applied)
			for _, op := range []int64{slow.Seq, low / 2, low} {
				late := taskgroup.Operation{Key: g.lock, Session: "s", Seq: op, Op: taskgroup.OpAdd, Delta: 1, AckedThrough: 0}
				equal(g.T, fmt.Sprint("a copy of ", op), g.send(late), taskgroup.Superseded)
			}
			records := int64(0)
			for _, field := range must(g.rdb.HKeys(g.Context(), g.operations("s")).Result())(g.T) {
				if n, err := strconv.ParseInt(field, 10, 64); err == nil && n <= low {
					records++
				}
			}
			equal(g.T, "acknowledged records", records, remaining)
		}
		g.checkState("then", "4")
		equal(g.T, "fields", g.rdb.HLen(g.Context(), g.operations("s")).Val(), 4+1) // one for acked
	})
}

func TestWaitGroupRenew(t *testing.T) {
	eachGroup(t, func(g *group) {
		g.unchanged("no group", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.applies("s", taskgroup.OpStart, a)
		g.setEnd(a, 5*time.Second)
		check(g.T, g.rdb.PExpire(g.Context(), g.lock, time.Minute).Err())
		equal(g.T, "renewed", g.renew(a, 2*lockTTL), true)
		g.taskRemains(a, 2*lockTTL)
		g.expiry(g.lock, groupTTL)
		g.unchanged("no task", func() { equal(g.T, "renewed", g.renew(b, lockTTL), false) })
		g.setEnd(a, 0)
		g.unchanged("an expired task", func() {
			equal(g.T, "renewed", g.renew(a, lockTTL), false)
			status := must(g.InspectGroup(g.Context(), g.lock))(g.T)
			equal(g.T, "abandoned, and running", fmt.Sprint(status.Abandoned, status.Tasks), "1 []")
		})
		equal(g.T, "remaining", g.status(0).Remaining, 0)
		g.unchanged("a finished generation", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.expiry(g.lock, stateTTL)
	})
}

// A clock that is set back extends no task beyond its TTL.
func TestWaitGroupClockSetBack(t *testing.T) {
	const long = "baton:20000:long"
	setBack := func(g *group, do func(g *group)) {
		g.applies("s", taskgroup.OpAdd, 1)
		g.applies("s", taskgroup.OpStart, a)
		g.applies("s", taskgroup.OpStart, long)
		g.setEnd(a, time.Hour+lockTTL-3*time.Second)
		g.setEnd(long, time.Hour+2*lockTTL-3*time.Second)
		check(g.T, g.rdb.PExpire(g.Context(), g.lock, time.Minute).Err())
		do(g)
		g.taskRemains(a, lockTTL)
		g.taskRemains(long, 2*lockTTL)
		g.expiry(g.lock, groupTTL)
		g.checkState("then", "1 a long")
	}
	t.Run("the clock itself", func(t *testing.T) {
		m, now := redistest.Mini(t), time.Unix(1_800_000_000, 0)
		m.ClockTTL(false) // keys do not expire
		m.SetTime(now)
		g := newGroup(t, redistest.MiniClient(t, m), "key")
		g.applies("s", taskgroup.OpStart, a)
		first := g.status(0).Number
		m.SetTime(now.Add(-time.Hour))
		equal(t, "remaining", g.status(0).Remaining, 1)
		m.SetTime(now.Add(-time.Hour + lockTTL))
		equal(t, "renewed", g.renew(a, lockTTL), false)
		equal(t, "abandoned", g.status(0).Abandoned[first], 1)
		g.applies("s", taskgroup.OpStart, b)
		equal(t, "the next generation", g.status(0).Number, first+1)
	})
	eachGroup(t, func(g *group) {
		setBack(g, func(g *group) { equal(g.T, "remaining", g.status(0).Remaining, 3) })
		check(g.T, g.rdb.FlushAll(g.Context()).Err())
		setBack(g.group(), func(g *group) { g.updates(taskgroup.Rejected, "s", taskgroup.OpAdd, -2) })
	})
}
