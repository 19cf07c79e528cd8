package redisstore

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// put makes key a value of the kind.
func (r *rig) put(key, kind string) {
	r.Helper()
	r.rdb.Del(r.Context(), key)
	command := map[string][]any{
		"string": {"set", key, "v"}, "list": {"rpush", key, "v"}, "hash": {"hset", key, "f", "v"},
		"set": {"sadd", key, "v"}, "zset": {"zadd", key, "1", "v"},
	}
	check(r.T, r.rdb.Do(r.Context(), command[kind]...).Err())
}

// To a waiter a lock of another type is a mistake that no waiting mends; to a
// holder it is a lock that is his no more.
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
				equal(r.T, "kept", r.renew(a), false)
			})
		}
	})
}

// The types of the siblings are looked at before the first write: Redis does
// not roll a script back. A release must not say that the lock was lost, as it
// is still there. What does not need the sibling takes no notice of it.
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
		for state, make := range map[string]func(r *rig){
			"free": func(*rig) {}, "held": func(r *rig) { r.held(a) }, "awaited": func(r *rig) { r.held(a, c) },
			"expired": func(r *rig) { r.held(a, c); r.expires() },
		} {
			list[sibling+" of a lock that is "+state] = func(r *rig) {
				for _, kind := range strings.Fields(row.kinds) {
					check(r.T, r.rdb.FlushAll(r.Context()).Err())
					make(r)
					r.put(row.key(r), kind)
					acquires := sibling == "waiters" && state == "free" && !old(r)
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
						equal(r.T, "renewed", r.renew(a), r.owner() == a) // which needs none of them
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

// fails checks that an acquire fails for good.
func (r *rig) fails(what string, q lease.Request, words string) {
	r.Helper()
	_, err := r.Acquire(r.Context(), q)
	expect(r.T, what, err, "permanent", words)
}

// A key may have been in use as another kind a moment ago. Entries of that kind are in the same
// queue, and are passed over as stale ones are.
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
		r.stands("a semaphore after a mutex", "e=10")
	})
}

// old reports whether the server is Redis 6.0, which always takes the slow path.
func old(r *rig) bool {
	return strings.Contains(r.rdb.Info(r.Context(), "server").Val(), "redis_version:6.0")
}
