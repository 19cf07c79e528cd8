package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// What is stored, and for how long, to the byte.
func TestWaitGroupKeys(t *testing.T) {
	t.Parallel()
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
		g.expiry(g.key, groupLife)
		g.expiry(g.operations("s"), groupKept)
		check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
		check(g.T, g.rdb.PExpire(g.Context(), g.operations("s"), time.Minute).Err())

		c := g.next("s", taskgroup.OpClaim, a)
		c.AckedThrough = 1
		equal(g.T, "join", g.send(c), taskgroup.Applied)
		g.lives(a, lockTTL)
		g.expiry(g.key, groupLife)
		g.expiry(g.operations("s"), groupKept)
		g.stands("then", "1 a")
		equal(g.T, "the state", g.stored().state, fmt.Sprintf("generation %d count 1 abandoned 0 since %d", number, number))
		equal(g.T, "remembered", fmt.Sprint(g.rdb.HGetAll(g.Context(), g.operations("s")).Val()), fmt.Sprintf("map[2:1 claim %s %d %d acked:1]", a, number, number))

		said := g.published(func() {
			g.counts("s", taskgroup.OpAbandon, a)
			g.counts("s", taskgroup.OpAdd, -1)
		})
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 1)}))
		equal(g.T, "the group", fmt.Sprint(g.rdb.ZRangeWithScores(g.Context(), g.key, 0, -1).Val()),
			fmt.Sprintf("[{%g abandoned %d 1} {0 generation %d count 0 abandoned 1 since %d}]", float64(-number), number, number, number))
		g.expiry(g.key, groupKept)
	})
}

// Each change says which generation it has found, whether that went on or was over, and the
// same when it is repeated: those who wait are bound to it.
func TestWaitGroupFound(t *testing.T) {
	t.Parallel()
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
		second := g.status(0).Number
		finds("of the next", g.next("s", taskgroup.OpDone, a), second)
		for _, c := range []taskgroup.Operation{begin, end, again} {
			want := first
			if c.Seq == begin.Seq {
				want = 0
			}
			finds("repeated", c, want)
		}
	})
}

func sorted(s ...string) []string { slices.Sort(s); return s }

// The message of a generation's end is what the subscription reads.
func TestWaitGroupEndIsParsed(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		said := g.published(func() {
			g.counts("s", taskgroup.OpAdd, 1)
			g.counts("s", taskgroup.OpClaim, a)
			g.counts("s", taskgroup.OpAbandon, a)
		})
		equal(g.T, "messages", len(said), 1)
		h, ok := parseMessage(strings.TrimPrefix(said[0], g.channel+": "))
		equal(g.T, "parsed", ok, true)
		equal(g.T, "hand-over", h, lease.Handover{Name: lease.Name{Kind: taskgroup.Kind, Key: g.key}, Seq: g.status(0).Number, Weight: 1, Token: "-"})
	})
}

func TestWaitGroupAnswers(t *testing.T) {
	t.Parallel()
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
	})
}

// Of generations that have lost tasks the last hundred are known.
func TestWaitGroupRecords(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
