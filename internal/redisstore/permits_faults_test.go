package redisstore

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A server without memory still executes releases and grants waiters. It refuses only new requests.
func TestPermitsOutOfMemory(t *testing.T) {
	t.Parallel()
	nothing := func(*permits) {}
	newcomer := func(r *permits) {
		r.Helper()
		r.unchanged("a newcomer", func() {
			_, err := r.Acquire(r.Context(), r.update(e, 1, 0, 1))
			expect(r.T, "acquire", err, "passing", "OOM")
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
