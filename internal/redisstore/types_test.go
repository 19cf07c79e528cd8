package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var types = []string{"string", "list", "hash", "set", "zset"}

// put stores a value of the type at key.
func (r *rig) put(key, kind string) {
	r.Helper()
	r.rdb.Del(r.Context(), key)
	command := map[string][]any{
		"string": {"set", key, "v"}, "list": {"rpush", key, "v"}, "hash": {"hset", key, "f", "v"},
		"set": {"sadd", key, "v"}, "zset": {"zadd", key, "1", "v"},
	}
	check(r.T, r.rdb.Do(r.Context(), command[kind]...).Err())
}

// operations are requests of a primitive, which return their errors.
type operations map[string]func() error

func errorOf[V any](_ V, err error) error { return err }

// acquiring returns an operation that sends a request.
func (r *rig) acquiring(q lease.Request) func() error {
	return func() error { return errorOf(r.Acquire(r.Context(), q)) }
}

func (r *rig) mutexOperations() operations {
	yield := r.request(b, 1)
	yield.Replaces = a
	return operations{
		"try": r.acquiring(r.request(b, 0)), "acquire": r.acquiring(r.request(b, 1)), "yield": r.acquiring(yield),
		"release": func() error { return errorOf(r.Release(r.Context(), mutexAt(r.lock), a)) },
	}
}

func (r *rig) valueOperations() operations {
	acquire := r.request(b, 1)
	acquire.Value = new(lease.ValueReader)
	return operations{
		"read": func() error { return errorOf(r.ReadValue(r.Context(), r.lock)) },
		"write": func() error {
			return errorOf(r.WriteValue(r.Context(), lease.ValueWrite{Key: r.lock, Token: a, Fence: 1}))
		},
		"delete":  func() error { return errorOf(r.DeleteValue(r.Context(), r.lock)) },
		"acquire": r.acquiring(acquire),
	}
}

func (r *permits) operations() operations {
	list := operations{"release": func() error { return errorOf(r.Release(r.Context(), r.name, a)) }}
	for i, q := range []lease.Request{r.update(a, 2, 0, 1), r.update(a, 2, 1, 0), r.update(b, 2, 0, 0), r.update(d, 1, 0, 1)} {
		list[fmt.Sprint("update ", i)] = r.acquiring(q)
	}
	if r.name.Kind == lease.Semaphore {
		list["resize"] = func() error { return r.Resize(r.Context(), r.lock, 10, 20) }
	}
	return list
}

func (r *rig) groupOperations() operations {
	g, list := r.group(), operations{}
	for i, o := range []taskgroup.Operation{
		g.next("s", taskgroup.OpAdd, 1), g.next("s", taskgroup.OpAdd, -1), g.next("s", taskgroup.OpStart, d), g.next("s", taskgroup.OpClaim, d),
		g.next("s", taskgroup.OpDone, a), g.next("s", taskgroup.OpAbandon, a), {Key: g.lock, Session: "s", Seq: 1, Op: taskgroup.OpUndo},
	} {
		list[fmt.Sprint(i, " ", o.Op)] = func() error { return errorOf(g.UpdateGroup(g.Context(), o)) }
	}
	return list
}

func (r *rig) limiterOperations() operations {
	reservation := (&rateRig{r, 1, 1}).reservation("id", 1, 0)
	return operations{
		"take":    func() error { return errorOf(r.Take(r.Context(), reservation)) },
		"refund":  func() error { return r.Refund(r.Context(), reservation) },
		"inspect": func() error { return errorOf(r.InspectLimiter(r.Context(), r.lock)) },
	}
}

// refuses checks that the operations fail with a permanent error with that text, and change nothing. The
// operation except works.
func (r *rig) refuses(what, text string, list operations, except string) {
	r.Helper()
	r.unchanged(what, func() {
		for name, do := range list {
			if name != except {
				expect(r.T, what+", "+name, do(), "permanent", text)
			}
		}
	})
}

// For a waiter, a key of another type or primitive is a permanent error. For a holder, it is a lost hold.
func TestKeyOfAnotherType(t *testing.T) {
	eachServer(t, func(r *rig) {
		p, g := r.semaphore(), r.group()
		status := operations{
			"status":  func() error { return errorOf(g.GroupStatus(g.Context(), g.lock, 0)) },
			"inspect": func() error { return errorOf(g.InspectGroup(g.Context(), g.lock)) },
		}
		for _, kind := range types {
			r.put(r.lock, kind)
			p.refuses("permits at a "+kind, "WRONGTYPE", p.operations(), "release")
			group, limiter := "WRONGTYPE", "WRONGTYPE"
			switch kind {
			case "zset":
				group = "not a wait group"
			case "string":
				limiter = "not the state of a limiter"
			}
			r.refuses("a group at a "+kind, group, r.groupOperations(), "")
			r.refuses("a group at a "+kind, group, status, "")
			r.refuses("a limiter at a "+kind, limiter, r.limiterOperations(), "")
			r.unchanged("holders", func() {
				equal(r.T, "permits released", p.release(a), false) // the key is certainly not a's hold
				equal(r.T, "permits renewed", p.renew(a, lockTTL), lease.RenewResult{})
				equal(r.T, "task renewed", g.renew(a, lockTTL), false)
				equal(r.T, "mutex released", r.release(a), false)
				equal(r.T, "mutex renewed", r.renew(a), false)
			})
			if kind != "string" {
				r.refuses("a mutex at a "+kind, "WRONGTYPE", r.mutexOperations(), "release")
				r.refuses("a value of a mutex at a "+kind, "WRONGTYPE", operations{"read": r.valueOperations()["read"]}, "")
				equal(r.T, "write", r.write(a, 1, "v"), lease.ValueNotHeld)
			}
		}
		for _, state := range []string{
			"garbled", "s 10 10 0 0 9007199254740991 3900000 1", "s 10 10 0 0 1 9999999999999999 1", "s 10 10 9999999999999999 0 1 3900000 1",
			"s 4503599627370497 10 0 0 1 3900000 1",
		} {
			check(r.T, r.rdb.Del(r.Context(), r.lock).Err())
			check(r.T, r.rdb.HSet(r.Context(), r.lock, "state", state, a, "garbled").Err())
			p.refuses("permits with the state "+state, "WRONGTYPE", p.operations(), "release")
			equal(r.T, "renewed", p.renew(a, lockTTL), lease.RenewResult{})
		}
		// A size that no script can have stored would grant two writers, or none.
		for _, state := range []string{"r 1099511627775 1099511627776 0 0 1 3900000 1", "r 2199023255552 1099511627776 0 0 1 3900000 1"} {
			check(r.T, r.rdb.HSet(r.Context(), r.lock, "state", state).Err())
			r.refuses("an RWMutex with the state "+state, "WRONGTYPE", r.rwMutex().operations(), "release")
		}
		for _, z := range []redis.Z{
			{Score: 0, Member: "v"}, {Score: -1, Member: "v"}, {Score: 0, Member: "generation 1 count 2"},
			{Score: 0, Member: "generation 1 count 2 abandoned 3 since 4 "}, {Score: 0, Member: "generation 1 count -2 abandoned 3 since 4"},
			{Score: 1, Member: "generation 1 count 2 abandoned 3 since 4"},
		} {
			check(r.T, r.rdb.Del(r.Context(), r.lock).Err())
			check(r.T, r.rdb.ZAdd(r.Context(), r.lock, z).Err())
			r.refuses(fmt.Sprint("a group with ", z), "not a wait group", r.groupOperations(), "")
			r.refuses(fmt.Sprint("a group with ", z), "not a wait group", status, "")
		}
		check(r.T, r.rdb.Set(r.Context(), r.lock, "limit 1 x 2 3", 0).Err())
		r.refuses("a garbled limiter", "not the state of a limiter", r.limiterOperations(), "")
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r.put("baton:{key}:reservation:id", "list")
		r.refuses("a limiter with a reservation that is a list", "WRONGTYPE", r.limiterOperations(), "inspect")

		// A semaphore and an RWMutex have the same type.
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		p.has(a, 1)
		r.refuses("a semaphore as an RWMutex", "in use as a semaphore", r.rwMutex().operations(), "release")
		equal(r.T, "renewed", r.rwMutex().renew(a, lockTTL), lease.RenewResult{})
		expect(r.T, "inspect a semaphore as an RWMutex", errorOf(r.Inspect(r.Context(), rwAt(r.lock))), "permanent", "a semaphore")
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r.rwMutex().has(a, 1)
		r.refuses("an RWMutex as a semaphore", "in use as an RWMutex", p.operations(), "release")
	})
}

// eachOtherType calls f in each state, with a value of each type at key that is not the key's own type.
func (r *rig) eachOtherType(key, own string, states map[string]func(), f func(what, state string)) {
	for state, prepare := range states {
		for _, kind := range types {
			if kind != own {
				check(r.T, r.rdb.FlushAll(r.Context()).Err())
				prepare()
				r.put(key, kind)
				f(fmt.Sprintf("%s, with a %s at %s", state, kind, key), state)
			}
		}
	}
}

// A script checks the types of the siblings before its first write, because Redis does not roll a script
// back. A release must not report a loss, as the lock still exists. A script that does not need the
// sibling ignores its type.
func TestSiblingOfAnotherType(t *testing.T) {
	eachServer(t, func(r *rig) {
		states := map[string]func(){
			"free": func() {}, "held": func() { r.held(a) }, "awaited": func() { r.held(a, c) }, "expired": func() { r.held(a, c); r.expireLock() },
		}
		for key, sibling := range map[string][2]string{r.queue: {"queue", "zset"}, r.waiters: {"waiters", "hash"}, r.fence: {"fence", "string"}} {
			r.eachOtherType(key, sibling[1], states, func(what, state string) {
				acquires := key == r.waiters && state == "free" && !isRedis60(r)
				releases := key != r.queue && state == "held"
				list := r.mutexOperations()
				if acquires {
					delete(list, "acquire")
					delete(list, "try")
				}
				if releases {
					delete(list, "release")
				}
				r.refuses(what, "WRONGTYPE", list, "")
				r.unchanged(what, func() {
					q := r.request(d, 1)
					q.Replaces = a
					r.fails("yield", q, sibling[0]+" key: WRONGTYPE")
					equal(r.T, "renewed", r.renew(a), r.owner() == a) // needs no sibling
				})
				if acquires {
					equal(r.T, "acquire", outcome(r.acquire(a, 1)), "granted")
				}
				if acquires || releases {
					equal(r.T, "release", r.release(a), true)
					equal(r.T, "owner", r.owner(), "")
				}
			})
		}
		r.eachOtherType(r.valueKey(), "hash", states, func(what, state string) {
			list := r.valueOperations()
			if state == "free" || state == "expired" {
				delete(list, "write") // reports no hold
			}
			r.refuses(what, "value key: WRONGTYPE", list, "")
		})
	})
}

func TestPermitsSiblingOfAnotherType(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		states := map[string]func(){
			"new": func() {}, "in use": func() { r.has(a, 10) }, "awaited": func() { r.has(a, 10); r.waits(b, 1) },
			"expired": func() { r.has(a, 10); r.waits(b, 1); r.expireHold(a) },
		}
		for key, sibling := range map[string][2]string{r.holders: {"holders", "zset"}, r.queue: {"queue", "zset"}, r.waiters: {"waiters", "hash"}} {
			r.eachOtherType(key, sibling[1], states, func(what, state string) {
				r.refuses(what, sibling[0]+" key: WRONGTYPE", r.operations(), "")
				equal(r.T, "renewed", r.renew(a, lockTTL).Held, state == "in use" || state == "awaited") // needs no sibling
			})
		}
	})
}

// An ops key of another type does not change the count. Waits and renewals of tasks still work.
func TestWaitGroupOperationsOfAnotherType(t *testing.T) {
	eachServer(t, func(r *rig) {
		states := map[string]func(){
			"new":     func() {},
			"running": func() { g := r.group(); g.applies("s", taskgroup.OpAdd, 2); g.applies("s", taskgroup.OpStart, a) },
			"with an expired task": func() {
				g := r.group()
				g.applies("s", taskgroup.OpStart, a)
				g.applies("s", taskgroup.OpStart, b)
				g.setEnd(b, -time.Millisecond)
			},
			"finished": func() { g := r.group(); g.applies("s", taskgroup.OpStart, a); g.applies("s", taskgroup.OpAbandon, a) },
		}
		r.eachOtherType(r.group().operations("s"), "hash", states, func(what, state string) {
			r.refuses(what, "ops key: WRONGTYPE", r.groupOperations(), "")
			g := r.group()
			remaining := map[string]int64{"running": 3, "with an expired task": 1}[state]
			equal(r.T, what+", renewed", g.renew(a, lockTTL), remaining > 0)
			equal(r.T, what+", remaining", g.status(0).Remaining, remaining)
			g.applies("another", taskgroup.OpAdd, 1)
		})
	})
}

// fails checks that an acquire fails with a permanent error.
func (r *rig) fails(what string, q lease.Request, text string) {
	r.Helper()
	expect(r.T, what, r.acquiring(q)(), "permanent", text)
}

// A key may have been in use as another kind. Waiters of that kind are in the same queue, and are skipped
// as stale.
func TestEntriesOfAnotherKindAreStale(t *testing.T) {
	eachServer(t, func(r *rig) {
		s := r.semaphore()
		s.has(a, 10)
		s.waits(b, 1)
		check(r.T, r.rdb.Del(r.Context(), r.lock, s.holders).Err())
		equal(r.T, "a mutex after a semaphore", outcome(r.acquire(c, 1)), "granted")
		equal(r.T, "its queue", r.waiting(), "")

		r.acquire(d, 1)
		check(r.T, r.rdb.Del(r.Context(), r.lock).Err())
		s.has(e, 10)
		s.checkState("a semaphore after a mutex", "e=10")
	})
}

// isRedis60 reports whether the server is Redis 6.0, which always takes the slow path.
func isRedis60(r *rig) bool {
	return strings.Contains(r.rdb.Info(r.Context(), "server").Val(), "redis_version:6.0")
}
