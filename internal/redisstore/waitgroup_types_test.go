package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// refuses checks that all operations fail, and change nothing.
func (g *group) refuses(what, words string) {
	g.Helper()
	g.unchanged(what, func() {
		for _, c := range []taskgroup.Operation{
			g.next("s", taskgroup.OpAdd, 1), g.next("s", taskgroup.OpAdd, -1), g.next("s", taskgroup.OpStart, d), g.next("s", taskgroup.OpClaim, d),
			g.next("s", taskgroup.OpDone, a), g.next("s", taskgroup.OpAbandon, a), {Key: g.key, Session: "s", Seq: 1, Op: taskgroup.OpUndo},
		} {
			_, err := g.UpdateGroup(g.Context(), c)
			expect(g.T, what+", "+string(c.Op), err, "permanent", words)
		}
	})
}

func TestWaitGroupOfAnotherType(t *testing.T) {
	eachGroup(t, func(g *group) {
		refuses := func(what, words string) {
			g.Helper()
			g.refuses(what, words)
			g.unchanged(what, func() {
				_, err := g.GroupStatus(g.Context(), g.key, 0)
				expect(g.T, what, err, "permanent", words)
				equal(g.T, "renewed", g.renew(a, lockTTL), false)
			})
		}
		for _, kind := range []string{"string", "list", "set", "hash"} {
			g.put(g.key, kind)
			refuses("a "+kind, "WRONGTYPE")
		}
		foreign := "not a wait group"
		g.put(g.key, "zset")
		refuses("a sorted set", foreign)
		for _, z := range []redis.Z{
			{Score: 0, Member: "v"}, {Score: -1, Member: "v"}, {Score: 0, Member: "generation 1 count 2"},
			{Score: 0, Member: "generation 1 count 2 abandoned 3 since 4 "}, {Score: 0, Member: "generation 1 count -2 abandoned 3 since 4"},
			{Score: 1, Member: "generation 1 count 2 abandoned 3 since 4"},
		} {
			check(g.T, g.rdb.Del(g.Context(), g.key).Err())
			check(g.T, g.rdb.ZAdd(g.Context(), g.key, z).Err())
			refuses(fmt.Sprintf("a sorted set of %q", z.Member), foreign)
		}
	})
}

// An ops key of another type does not change the count. Waits and renewals of tasks still work.
func TestWaitGroupOperationsOfAnotherType(t *testing.T) {
	list := map[string]func(*group){}
	for name, state := range map[string]struct {
		prepare   func(g *group)
		remaining int64
	}{
		"new":     {func(*group) {}, 0},
		"running": {func(g *group) { g.applies("s", taskgroup.OpAdd, 2); g.applies("s", taskgroup.OpStart, a) }, 3},
		"running with an expired task": {func(g *group) {
			g.applies("s", taskgroup.OpStart, a)
			g.applies("s", taskgroup.OpStart, b)
			g.setEnd(b, -time.Millisecond)
		}, 1},
		"finished": {func(g *group) { g.applies("s", taskgroup.OpStart, a); g.applies("s", taskgroup.OpAbandon, a) }, 0},
	} {
		list[name] = func(g *group) {
			for _, kind := range []string{"string", "list", "set", "zset"} {
				check(g.T, g.rdb.FlushAll(g.Context()).Err())
				g.numbers = map[string]int64{}
				state.prepare(g)
				g.put(g.operations("s"), kind)
				g.refuses("a "+kind, "ops key: WRONGTYPE")
				if state.remaining > 0 {
					equal(g.T, "renewed", g.renew(a, lockTTL), true)
				}
				equal(g.T, "remaining", g.status(0).Remaining, state.remaining)
				g.applies("another", taskgroup.OpAdd, 1)
			}
		}
	}
	eachGroup(t, func(g *group) { g.rows(list) })
}

// A key of another primitive is not a wait group, and the other way round.
func TestWaitGroupOfAnotherKind(t *testing.T) {
	eachGroup(t, func(g *group) {
		r := newRig(g.T, g.rdb, g.key)
		r.held(a, b)
		g.refuses("a mutex", "WRONGTYPE")
		check(g.T, g.rdb.FlushAll(g.Context()).Err())
		p := newPermits(g.T, g.rdb, semaphoreAt(g.key), 10)
		p.has(a, 10)
		g.refuses("a semaphore", "WRONGTYPE")
		check(g.T, g.rdb.FlushAll(g.Context()).Err())
		g.applies("s", taskgroup.OpStart, a)
		p.refuses("a wait group", "WRONGTYPE")
		g.unchanged("as a mutex", func() { r.fails("acquire", r.request(a, 1), "WRONGTYPE") })
	})
}
