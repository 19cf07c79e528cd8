package redisstore

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

func TestWaitGroupRenew(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		g.unchanged("no group", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.counts("s", taskgroup.OpStart, a)
		g.ends(a, time.Second)
		check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
		equal(g.T, "renewed", g.renew(a, 2*lockTTL), true)
		g.lives(a, 2*lockTTL)
		g.expiry(g.key, groupLife)
		g.unchanged("no task", func() { equal(g.T, "renewed", g.renew(b, lockTTL), false) })
		g.ends(a, 0)
		g.unchanged("a task whose time is over", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		equal(g.T, "left", g.status(0).Remaining, 0)
		g.unchanged("a generation that is over", func() { equal(g.T, "renewed", g.renew(a, lockTTL), false) })
		g.expiry(g.key, groupKept)

		g.counts("s", taskgroup.OpStart, b)
		g.counts("s", taskgroup.OpStart, c)
		g.ends(c, -time.Millisecond)
		name := lease.Name{Kind: taskgroup.Kind, Key: g.key}
		check(g.T, g.rdb.ScriptFlush(g.Context()).Err())
		got := renewAll(g, []lease.Renewal{{Name: name, Token: b, TTL: lockTTL}, {Name: name, Token: c, TTL: lockTTL}, {Name: mutexAt("other"), Token: b, TTL: lockTTL}})
		for i, want := range []lease.RenewResult{{Held: true}, {}, {}} {
			equal(g.T, "one of many", got[i], want)
		}
	})
}

// A clock that is set back lets nobody live longer than its TTL.
func TestWaitGroupClockSetBack(t *testing.T) {
	t.Parallel()
	long := "baton:20000:long"
	for _, row := range []struct {
		name string
		do   func(g *group)
	}{
		{"a look", func(g *group) { equal(g.T, "left", g.status(0).Remaining, 3) }},
		{"a change", func(g *group) { g.answers(taskgroup.Rejected, "s", taskgroup.OpAdd, -2) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachGroup(t, func(g *group) {
				g.counts("s", taskgroup.OpAdd, 1)
				g.counts("s", taskgroup.OpStart, a)
				g.counts("s", taskgroup.OpStart, long)
				g.ends(a, time.Hour+lockTTL-3*time.Second)
				g.ends(long, time.Hour+2*lockTTL-3*time.Second)
				check(g.T, g.rdb.PExpire(g.Context(), g.key, time.Minute).Err())
				row.do(g)
				g.lives(a, lockTTL)
				g.lives(long, 2*lockTTL)
				g.expiry(g.key, groupLife)
				g.stands("then", "1 a long")
			})
		})
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
}
