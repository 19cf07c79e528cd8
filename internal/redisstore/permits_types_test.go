package redisstore

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// refuses checks that every script fails with words, and changes nothing.
func (r *permits) refuses(what, words string) {
	r.Helper()
	r.unchanged(what, func() {
		for _, q := range []lease.Request{r.update(a, 2, 0, 1), r.update(a, 2, 1, 0), r.update(b, 2, 0, 0), r.update(d, 1, 0, 1)} {
			r.fails("ask", q, words)
		}
		_, err := r.Release(r.Context(), r.name, a)
		if words != "WRONGTYPE" {
			expect(r.T, "release", err, "permanent", words)
		} else {
			expect(r.T, "release", err, "nil", "") // it is not what a held, for certain
		}
		if r.name.Kind == lease.Semaphore {
			expect(r.T, "resize", r.Resize(r.Context(), r.name.Key, 10, 20), "permanent", words)
		}
	})
}

func TestPermitsOfAnotherType(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		for _, kind := range []string{"string", "list", "set", "zset", "hash"} { // a hash, but not ours
			r.put(r.main, kind)
			r.refuses("a "+kind, "WRONGTYPE")
			equal(r.T, "renewed", r.renew(a, lockTTL), lease.RenewResult{})
		}
		check(r.T, r.rdb.Del(r.Context(), r.main).Err())
		for _, state := range []string{
			"garbled", "s 10 10 0 0 9007199254740991 3900000 1", "s 10 10 0 0 1 9999999999999999 1", "s 10 10 9999999999999999 0 1 3900000 1",
			"s 4503599627370497 10 0 0 1 3900000 1",
		} {
			check(r.T, r.rdb.HSet(r.Context(), r.main, "state", state, a, "garbled").Err())
			r.refuses("a hash that is almost ours", "WRONGTYPE")
			equal(r.T, "renewed", r.renew(a, lockTTL), lease.RenewResult{})
		}
	})
}

// A sibling that is of another type says nothing about who holds what: nobody may take the error
// for a loss, and nothing is done by half.
func TestPermitsSiblingOfAnotherType(t *testing.T) {
	list := map[string]func(*permits){}
	for sibling, row := range map[string]struct {
		kinds string
		key   func(r *permits) string
	}{
		"holders": {"string list hash set", func(r *permits) string { return r.holders }},
		"queue":   {"string list hash set", func(r *permits) string { return r.queue }},
		"waiters": {"string list set zset", func(r *permits) string { return r.waiters }},
	} {
		for state, make := range map[string]func(r *permits){
			"new":                             func(*permits) {},
			"in use":                          func(r *permits) { r.has(a, 10) },
			"awaited":                         func(r *permits) { r.has(a, 10); r.waits(b, 1) },
			"awaited when a hold has run out": func(r *permits) { r.has(a, 10); r.waits(b, 1); r.expires(a) },
		} {
			list[sibling+" of what is "+state] = func(r *permits) {
				for _, kind := range strings.Fields(row.kinds) {
					check(r.T, r.rdb.FlushAll(r.Context()).Err())
					make(r)
					r.put(row.key(r), kind)
					r.refuses("a "+kind, sibling+" key: WRONGTYPE")
					if text := r.rdb.HGet(r.Context(), r.main, a).Val(); text != "" { // renewal needs none of them
						equal(r.T, "renewed", r.renew(a, lockTTL).Held, r.parseHold(a, text).expires > r.now().UnixMilli())
					}
				}
			}
		}
	}
	eachSemaphore(t, func(r *permits) { r.rows(list) })
}

// To holders a key in use as another kind is theirs no more.
func TestPermitsOfAnotherKind(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		rw := newPermits(r.T, r.rdb, rwAt("key"), lease.ExclusiveWeight)
		r.has(a, 1)
		r.waits(b, 10)
		rw.refuses("a semaphore as an RWMutex", "WRONGTYPE")
		rw.fails("ask", rw.update(a, 2, 0, 1), "the key is in use as a semaphore")
		equal(r.T, "renewed", rw.renew(a, lockTTL), lease.RenewResult{})

		// A size that nobody can have stored would let two writers in, or none.
		for _, state := range []string{"r 1099511627775 1099511627776 0 0 1 3900000 1", "r 2199023255552 1099511627776 0 0 1 3900000 1"} {
			check(r.T, r.rdb.Del(r.Context(), r.main).Err())
			check(r.T, r.rdb.HSet(r.Context(), r.main, "state", state).Err())
			rw.refuses("an RWMutex of another size", "WRONGTYPE")
		}

		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		rw.has(a, 1)
		r.refuses("an RWMutex as a semaphore", "WRONGTYPE")
		r.fails("ask", r.update(a, 2, 0, 1), "the key is in use as an RWMutex")

		r.unchanged("as a mutex", func() { r.fails("acquire", r.request(a, 1), "WRONGTYPE") })
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r.rig.lock = "key"
		check(r.T, r.rdb.Set(r.Context(), "key", a, lockTTL).Err())
		r.refuses("a mutex as a semaphore", "WRONGTYPE")
	})
}
