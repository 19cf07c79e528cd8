package redisstore

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// put stores a value of the kind at key.
func (r *rig) put(key, kind string) {
	r.Helper()
	r.rdb.Del(r.Context(), key)
	command := map[string][]any{
		"string": {"set", key, "v"}, "list": {"rpush", key, "v"}, "hash": {"hset", key, "f", "v"},
		"set": {"sadd", key, "v"}, "zset": {"zadd", key, "1", "v"},
	}
	check(r.T, r.rdb.Do(r.Context(), command[kind]...).Err())
}

// For a waiter, a lock key of another type is a permanent error. For a holder, it is a lost lock.
func TestLockOfAnotherType(t *testing.T) {
	eachServer(t, func(r *rig) {
		for _, kind := range []string{"list", "hash", "set", "zset"} {
			r.put(r.lock, kind)
			r.unchanged("a "+kind, func() {
				r.fails("acquire", r.request(a, 0), "WRONGTYPE")
				r.fails("acquire", r.request(a, 1), "WRONGTYPE")
				q := r.request(b, 1)
				q.Replaces = a
				r.fails("yield", q, "WRONGTYPE")
				equal(r.T, "owned", r.release(a), false)
				equal(r.T, "held", r.renew(a), false)
			})
		}
	})
}

// A script checks the types of the siblings before its first write, because Redis does not roll a
// script back. A release must not report a loss, as the lock still exists. A script that does
// not need the sibling ignores its type.
func TestSiblingOfAnotherType(t *testing.T) {
	list := map[string]func(*rig){}
	for sibling, row := range map[string]struct {
		kinds string
		key   func(r *rig) string
	}{
		"queue":   {"string list hash set", func(r *rig) string { return r.queue }},
		"waiters": {"string list set zset", func(r *rig) string { return r.waiters }},
		"fence":   {"list hash set zset", func(r *rig) string { return r.fence }},
	} {
		for state, prepare := range map[string]func(r *rig){
			"free": func(*rig) {}, "held": func(r *rig) { r.held(a) }, "awaited": func(r *rig) { r.held(a, c) },
			"expired": func(r *rig) { r.held(a, c); r.expireLock() },
		} {
			list[sibling+" of a lock that is "+state] = func(r *rig) {
				for _, kind := range strings.Fields(row.kinds) {
					check(r.T, r.rdb.FlushAll(r.Context()).Err())
					prepare(r)
					r.put(row.key(r), kind)
					acquires := sibling == "waiters" && state == "free" && !isRedis60(r)
					releases := sibling != "queue" && state == "held"
					r.unchanged("a "+kind, func() {
						if !acquires {
							r.fails("acquire", r.request(b, 0), "WRONGTYPE")
							r.fails("acquire", r.request(b, 1), "WRONGTYPE")
						}
						q := r.request(d, 1)
						q.Replaces = a
						r.fails("yield", q, sibling+" key: WRONGTYPE")
						if !releases {
							_, err := r.Release(r.Context(), mutexAt(r.lock), a)
							expect(r.T, "release", err, "permanent", sibling+" key: WRONGTYPE")
						}
						equal(r.T, "renewed", r.renew(a), r.owner() == a) // needs no sibling
					})
					if acquires {
						equal(r.T, "acquire", outcome(r.acquire(a, 1)), "granted")
					}
					if acquires || releases {
						equal(r.T, "release", r.release(a), true)
						equal(r.T, "owner", r.owner(), "")
					}
				}
			}
		}
	}
	eachServer(t, func(r *rig) { r.rows(list) })
}

// fails checks that an acquire fails with a permanent error.
func (r *rig) fails(what string, q lease.Request, words string) {
	r.Helper()
	_, err := r.Acquire(r.Context(), q)
	expect(r.T, what, err, "permanent", words)
}

// A key may have been in use as another kind. Waiters of that kind are in the same queue, and are
// skipped as stale.
func TestEntriesOfAnotherKindAreStale(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		mutex := newRig(r.T, r.rdb, r.main)
		r.has(a, 10)
		r.waits(b, 1)
		check(r.T, r.rdb.Del(r.Context(), r.main, r.holders).Err())
		equal(r.T, "a mutex after a semaphore", outcome(mutex.acquire(c, 1)), "granted")
		equal(r.T, "its queue", mutex.waiting(), "")

		mutex.acquire(d, 1)
		check(r.T, r.rdb.Del(r.Context(), r.main).Err())
		r.has(e, 10)
		r.checkState("a semaphore after a mutex", "e=10")
	})
}

// isRedis60 reports whether the server is Redis 6.0, which always takes the slow path.
func isRedis60(r *rig) bool {
	return strings.Contains(r.rdb.Info(r.Context(), "server").Val(), "redis_version:6.0")
}
