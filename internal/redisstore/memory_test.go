package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A server without memory must still execute releases and hand-overs, which free memory. It refuses only
// new locks.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	refused := func(r *rig, token string, n int64) {
		r.Helper()
		r.unchanged("a refused request", func() {
			expect(r.T, "acquire", r.acquiring(r.request(token, n))(), "passing", "OOM")
		})
	}
	for _, row := range []struct {
		name           string
		waiting        []string
		do             func(r *rig)
		owner, waiters string
	}{
		{"release", nil, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, "", ""},
		{"hand-over", []string{b, c}, func(r *rig) { equal(r.T, "owned", r.release(a), true) }, b, c},
		{"hand-over by a waiter's leaving", []string{b, c}, func(r *rig) { r.expireLock(); r.release(b) }, c, ""},
		{"hand-over by a waiter's request", []string{b}, func(r *rig) { r.expireLock(); r.acquire(b, 2) }, b, ""},
		{"renew", []string{b}, func(r *rig) { equal(r.T, "held", r.renew(a), true) }, a, b},
		{"yield", []string{b, c}, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 0) }, b, c + " " + d},
		{"yield without a waiter", nil, func(r *rig) { r.yield(a, d, 1); r.yield(a, d, 1) }, d, ""},
		{"a repeated request", nil, func(r *rig) { equal(r.T, "again", outcome(r.acquire(a, 2)), "granted") }, a, ""},
		{"a try of a held lock", nil, func(r *rig) { equal(r.T, "try", outcome(r.acquire(b, 0)), "wait") }, a, ""},
		{"release with a value", nil, func(r *rig) {
			stored, owned := r.releaseValue(a, "v")
			equal(r.T, "stored and owned", owned && stored == lease.ValueStored, true)
			r.reads("the value", "v")
		}, "", ""},
		{"a TTL that is cut", nil, func(r *rig) {
			check(r.T, r.rdb.PExpire(r.Context(), r.lock, time.Hour).Err())
			r.acquire(b, 0)
			r.expiry(r.lock, lockTTL)
		}, a, ""},
		{"a refund of a limiter", nil, func(r *rig) {
			p := &rateRig{newRig(r.T, r.rdb, "limiter"), 0.001, 5}
			s.Do(r.T, "CONFIG", "SET", "maxmemory", "0")
			p.take("a", 5, 0)
			s.Do(r.T, "CONFIG", "SET", "maxmemory", "1")
			expect(r.T, "take", errorOf(p.Take(r.Context(), p.reservation("b", 1, ratelimit.NoMaxWait))), "passing", "OOM")
			p.refund("a")
			s.Do(r.T, "CONFIG", "SET", "maxmemory", "0")
			equal(r.T, "all tokens", p.take("", 5, 0).Taken, true)
		}, a, ""},
		{"a first request", nil, func(r *rig) { r.release(a); refused(r, b, 0) }, "", ""},
		{"a first request of a waiter", []string{b}, func(r *rig) { refused(r, c, 1) }, a, b},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Do(t, "FLUSHALL")
			r := newRig(t, rdb, "key")
			r.held(a, row.waiting...)
			s.Do(t, "CONFIG", "SET", "maxmemory", "1")
			row.do(r)
			s.Do(t, "CONFIG", "SET", "maxmemory", "0")
			equal(t, "owner", r.owner(), row.owner)
			equal(t, "queue", r.waiting(), row.waiters)
		})
	}
}

// A server without memory still executes releases and grants waiters. It refuses only new requests.
func TestPermitsOutOfMemory(t *testing.T) {
	t.Parallel()
	nothing := func(*permits) {}
	newcomer := func(r *permits) {
		r.Helper()
		r.unchanged("a newcomer", func() {
			expect(r.T, "acquire", r.acquiring(r.update(e, 1, 0, 1))(), "passing", "OOM")
		})
	}
	s := redistest.Start(t)
	rdb := s.Client(t)
	for _, row := range []struct {
		name       string
		before, do func(r *permits)
		then       string
	}{
		{"release", nothing, func(r *permits) { equal(r.T, "owned", r.release(a), true) }, "b=2 c=8 d+1"},
		{"a stranger's release", func(r *permits) { r.release(c); r.release(d) }, func(r *permits) { equal(r.T, "owned", r.release(e), false) }, "a=8 b=2"},
		{"lower", nothing, func(r *permits) { r.state(a, 2, 5, 0) }, "a=5 b=2 c+8 d+1"},
		{"lower that grants a waiter", nothing, func(r *permits) { r.state(a, 2, 0, 0) }, "b=2 c=8 d+1"},
		{"yield", nothing, func(r *permits) { r.state(a, 2, 0, 1) }, "b=2 c=8 d+1 a+1"},
		{"renew", func(r *permits) { r.backdateScore(a) }, func(r *permits) {
			equal(r.T, "renewed", r.renew(a, lockTTL), lease.RenewResult{Held: true, Contended: true, SeveralWait: true})
			r.state(a, 2, 8, 0)
		}, "a=8 b=2 c+8 d+1"},
		{"the first waiter leaves", nothing, func(r *permits) { r.release(c); r.release(b) }, "a=8 d=1"},
		{"a poll after an expiry", func(r *permits) { r.expireHold(a) }, func(r *permits) {
			equal(r.T, "the waiter", outcome(r.send(r.again(c, 2, 1, 0, 8))), "granted")
		}, "b=2 c=8 d+1"},
		{"a refresh", func(r *permits) { r.setLastSeen(c, -3*time.Second) }, func(r *permits) {
			before := r.now().UnixMilli()
			r.send(r.again(c, 2, 1, 0, 8))
			r.expiry(r.queue, lease.WaiterTTL)
			equal(r.T, "last seen now", r.stored().queue[0].at >= before, true)
		}, "a=8 b=2 c+8 d+1"},
		{"a withdrawal", nothing, func(r *permits) { r.state(c, 2, 0, 0) }, "a=8 b=2 d+1"},
		{"a first request of a waiter", nothing, newcomer, "a=8 b=2 c+8 d+1"},
		{"a first request", nothing, func(r *permits) { r.release(c); r.release(d); r.release(a); newcomer(r) }, "b=2"},
		{"a first request of the key", nothing, func(r *permits) { check(r.T, r.rdb.FlushAll(r.Context()).Err()); newcomer(r) }, ""},
		{"a first request when a renewed hold looks expired", func(r *permits) { r.backdateScore(a) }, newcomer, "a=8 b=2 c+8 d+1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Do(t, "FLUSHALL")
			r := newPermits(t, rdb, semaphoreAt("key"), 10)
			r.has(a, 8)
			r.has(b, 2)
			r.waits(c, 8)
			r.waits(d, 1)
			row.before(r)
			s.Do(t, "CONFIG", "SET", "maxmemory", "1")
			row.do(r)
			s.Do(t, "CONFIG", "SET", "maxmemory", "0")
			r.checkState("then", row.then)
		})
	}
}

// A server without memory still executes operations that end something. It refuses only new tasks and
// additions.
func TestWaitGroupOutOfMemory(t *testing.T) {
	r, s := realRig(t)
	g := r.group()
	refused := func(op taskgroup.Op, arg any) {
		t.Helper()
		g.unchanged("a refused operation", func() {
			expect(t, string(op), errorOf(g.UpdateGroup(g.Context(), g.next("s", op, arg))), "passing", "OOM")
		})
	}
	full := func(on bool) {
		t.Helper()
		s.Do(t, "CONFIG", "SET", "maxmemory", map[bool]string{true: "1", false: "0"}[on])
	}
	full(true)
	for range 2 { // without a group, and with a finished one
		refused(taskgroup.OpAdd, 1)
		refused(taskgroup.OpStart, e)
		full(false)
		g.applies("s", taskgroup.OpAdd, 1)
		g.applies("s", taskgroup.OpAdd, -1)
		full(true)
	}
	full(false)
	g.applies("s", taskgroup.OpAdd, 6)
	g.applies("s", taskgroup.OpStart, a)
	start := g.applies("s", taskgroup.OpStart, b)
	claimed := g.applies("s", taskgroup.OpClaim, c)
	added := g.applies("s", taskgroup.OpAdd, 2)
	g.applies("s", taskgroup.OpStart, d)
	number := g.status(0).Number
	full(true)
	refused(taskgroup.OpAdd, 1)
	refused(taskgroup.OpStart, e)
	refused(taskgroup.OpClaim, e)
	g.checkState("without memory", "7 a b c d")

	setEnd := func(token string, in time.Duration) {
		t.Helper()
		full(false)
		g.setEnd(token, in)
		full(true)
	}
	setEnd(b, 5*time.Second)
	equal(t, "a repetition", g.send(start), taskgroup.Applied)
	g.taskRemains(b, lockTTL)
	setEnd(a, 5*time.Second)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.taskRemains(a, lockTTL)
	added.Op, claimed.Op = taskgroup.OpUndo, taskgroup.OpUndo
	equal(t, "undo of an add", g.send(added), taskgroup.Applied)
	equal(t, "undo of a claim", g.send(claimed), taskgroup.Applied)
	g.applies("s", taskgroup.OpAdd, -6)
	g.applies("s", taskgroup.OpAbandon, b)
	g.updates(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, e)
	g.checkState("then", "0 a d -1")
	setEnd(a, time.Hour) // the clock is set back
	equal(t, "remaining", g.status(0).Remaining, 2)
	g.taskRemains(a, lockTTL)
	setEnd(a, -time.Millisecond)
	equal(t, "remaining", g.status(0).Remaining, 1)
	messages := g.published(func() { g.applies("s", taskgroup.OpDone, d) })
	equal(t, "messages", fmt.Sprint(messages), g.ended(number, 2))
	equal(t, "abandoned", g.status(0).Abandoned[number], 2)

	// Redis does not stop a script that has begun to write. So a new task counts if the script first had to
	// end an expired one.
	full(false)
	g.applies("s", taskgroup.OpStart, a)
	number = g.status(0).Number
	setEnd(a, -time.Millisecond)
	messages = g.published(func() { g.applies("s", taskgroup.OpStart, b) })
	equal(t, "messages", fmt.Sprint(messages), g.ended(number, 1))
	g.checkState("then", "0 b")
}
