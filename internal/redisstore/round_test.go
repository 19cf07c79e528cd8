package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// What is stored, and for how long, to the byte.
func TestRoundKeys(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		before := g.now().UnixMicro()
		g.counts("s", lease.Add, 2)
		round := g.look(0).Number
		if after := g.now().UnixMicro(); round < before || round > after {
			g.Errorf("round %d is not the server's time, %d to %d", round, before, after)
		}
		equal(g.T, "keys", fmt.Sprint(sorted(g.rdb.Keys(g.Context(), "*").Val()...)), fmt.Sprint(sorted(g.operations("s"), "key")))
		equal(g.T, "operations", g.operations("s"), "baton:{key}:operations:s")
		equal(g.T, "topic", g.topic, "baton:{key}:over")
		g.expiry(g.key, groupLife)
		g.expiry(g.operations("s"), groupKept)
		check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
		check(g.T, g.rdb.PExpire(g.Context(), g.operations("s"), time.Minute).Err())

		c := g.next("s", lease.Join, a)
		c.Low = 1
		equal(g.T, "join", g.send(c), lease.Counted)
		g.lives(a, lockTTL)
		g.expiry(g.key, groupLife)
		g.expiry(g.operations("s"), groupKept)
		g.stands("then", "1 a")
		equal(g.T, "the state", g.stock().state, fmt.Sprintf("round %d count 1 abandoned 0 since %d", round, round))
		equal(g.T, "remembered", fmt.Sprint(g.rdb.HGetAll(g.Context(), g.operations("s")).Val()), fmt.Sprintf("map[2:1 join %s %d low:1]", a, round))

		said := g.published(func() {
			g.counts("s", lease.Drop, a)
			g.counts("s", lease.Add, -1)
		})
		equal(g.T, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(round, 1)}))
		equal(g.T, "the group", fmt.Sprint(g.rdb.ZRangeWithScores(g.Context(), g.key, 0, -1).Val()),
			fmt.Sprintf("[{%g abandoned %d 1} {0 round %d count 0 abandoned 1 since %d}]", float64(-round), round, round, round))
		g.expiry(g.key, groupKept)
	})
}

func sorted(s ...string) []string { slices.Sort(s); return s }

// The message of a round's end is what the subscription reads.
func TestRoundEndIsParsed(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		said := g.published(func() {
			g.counts("s", lease.Add, 1)
			g.counts("s", lease.Join, a)
			g.counts("s", lease.Drop, a)
		})
		equal(g.T, "messages", len(said), 1)
		h, ok := parse(strings.TrimPrefix(said[0], g.topic+": "))
		equal(g.T, "parsed", ok, true)
		equal(g.T, "hand-over", h, lease.Handover{Name: lease.Name{Kind: lease.WaitGroup, Key: g.key}, N: g.look(0).Number, Weight: 1, Token: "-"})
	})
}

func TestRoundAnswers(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		equal(g.T, "nothing yet", fmt.Sprint(g.look(0)), fmt.Sprint(lease.Round{}))
		g.answers(lease.Refused, "s", lease.Add, -1)
		g.answers(lease.Refused, "s", lease.Join, a)
		g.answers(lease.Missed, "s", lease.Done, a)
		g.answers(lease.Missed, "s", lease.Drop, a)
		equal(g.T, "still nothing", fmt.Sprint(g.look(0)), fmt.Sprint(lease.Round{}))

		g.counts("s", lease.Add, 2)
		g.answers(lease.Refused, "s", lease.Add, -3)
		g.counts("s", lease.Join, a)
		g.counts("s", lease.Join, b)
		g.answers(lease.Refused, "s", lease.Join, c)
		g.counts("s", lease.Go, c)
		g.counts("s", lease.Done, a)
		g.answers(lease.Missed, "s", lease.Done, a)
		g.stands("then", "0 b c")
		first := g.look(0)
		equal(g.T, "left", first.Left, 2)
		equal(g.T, "since", first.Since, first.Number)

		g.ends(b, 0) // now it is over
		g.answers(lease.Missed, "s", lease.Done, b)
		g.stands("then", "0 c -1")
		equal(g.T, "lost of a round that goes on", len(g.look(0).Lost), 0)
		g.counts("s", lease.Drop, c)
		over := lease.Round{Number: first.Number, Since: first.Since, Lost: map[int64]int64{first.Number: 2}}
		for _, from := range []int64{0, 1, first.Number} {
			equal(g.T, "over", fmt.Sprint(g.look(from)), fmt.Sprint(over))
		}
		g.answers(lease.Refused, "s", lease.Add, -1)
		equal(g.T, "still over", fmt.Sprint(g.look(0)), fmt.Sprint(over))

		g.counts("s", lease.Go, d)
		second := g.look(0)
		if second.Number <= first.Number || second.Since != first.Since || second.Lost != nil {
			g.Errorf("after %+v comes %+v", first, second)
		}
		equal(g.T, "what became of the first", g.look(first.Number).Lost[first.Number], 2)
		g.counts("s", lease.Done, d)
		equal(g.T, "a round without loss", len(g.look(0).Lost), 0)
	})
}

// Of rounds that have lost tasks the last hundred are known.
func TestRoundRecords(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		var rounds []int64
		for i := range 103 {
			token := fmt.Sprint("baton:10000:", i)
			g.counts("s", lease.Go, token)
			rounds = append(rounds, g.look(0).Number)
			if i == 50 { // one without a loss is not among them
				g.counts("s", lease.Done, token)
				continue
			}
			g.counts("s", lease.Drop, token)
		}
		got := g.look(rounds[0])
		equal(g.T, "records", len(got.Lost), 100)
		equal(g.T, "number", got.Number, rounds[102])
		equal(g.T, "since", got.Since, rounds[1]+1) // two of the 102 have been dropped
		for i, round := range rounds {
			want := int64(1)
			if i < 2 || i == 50 {
				want = 0
			}
			equal(g.T, fmt.Sprint("lost of round ", i), got.Lost[round], want)
		}
		equal(g.T, "from the middle on", len(g.look(rounds[60]).Lost), 43)
		equal(g.T, "members", g.rdb.ZCard(g.Context(), g.key).Val(), 101)
		g.counts("s", lease.Go, a)
		equal(g.T, "since, in the next", g.look(0).Since, got.Since)
	})
}

// A group that was lost begins again, and says since when it knows of rounds.
func TestRoundAfterLoss(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		add := g.counts("s", lease.Add, 2)
		g.counts("s", lease.Go, a)
		was := g.look(0)
		check(g.T, g.rdb.Del(g.Context(), g.key).Err())
		equal(g.T, "without it", fmt.Sprint(g.look(was.Number)), fmt.Sprint(lease.Round{}))
		equal(g.T, "renewed", g.renew(a, lockTTL), false)
		equal(g.T, "a repetition", g.send(add), lease.Counted)
		g.answers(lease.Missed, "s", lease.Done, a)
		add.What = lease.Undo
		equal(g.T, "an undo", g.send(add), lease.Refused)
		equal(g.T, "the group", g.stock().state, "")
		g.counts("s", lease.Add, 1)
		now := g.look(was.Number)
		if now.Number <= was.Number || now.Since != now.Number || now.Left != 1 {
			g.Errorf("after %+v comes %+v", was, now)
		}
	})
}
