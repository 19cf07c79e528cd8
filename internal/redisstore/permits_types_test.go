package redisstore

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// refuses checks that every script fails with that text, and changes nothing.
func (r *permits) refuses(what, words string) {
	r.Helper()
	r.unchanged(what, func() {
		for _, q := range []lease.Request{r.update(a, 2, 0, 1), r.update(a, 2, 1, 0), r.update(b, 2, 0, 0), r.update(d, 1, 0, 1)} {
			r.fails("acquire", q, words)
		}
		_, err := r.Release(r.Context(), r.name, a)
		if words != "WRONGTYPE" {
			expect(r.T, "release", err, "permanent", words)
		} else {
			expect(r.T, "release", err, "nil", "") // the key is certainly not a's hold
		}
		if r.name.Kind == lease.Semaphore {
			expect(r.T, "resize", r.Resize(r.Context(), r.name.Key, 10, 20), "permanent", words)
		}
	})
}

func TestPermitsOfAnotherType(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		for _, kind := range []string{"string", "list", "set", "zset", "hash"} { // a foreign hash
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
			r.refuses("a hash with a garbled state", "WRONGTYPE")
			equal(r.T, "renewed", r.renew(a, lockTTL), lease.RenewResult{})
		}
	})
}

// A sibling of another type does not change the holds. The error must not be taken for a loss, and no
// script stops halfway.
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
		for state, prepare := range map[string]func(r *permits){
			"new":                     func(*permits) {},
			"in use":                  func(r *permits) { r.has(a, 10) },
			"awaited":                 func(r *permits) { r.has(a, 10); r.waits(b, 1) },
			"awaited after an expiry": func(r *permits) { r.has(a, 10); r.waits(b, 1); r.expireHold(a) },
		} {
			list[sibling+" of permits that are "+state] = func(r *permits) {
				for _, kind := range strings.Fields(row.kinds) {
					check(r.T, r.rdb.FlushAll(r.Context()).Err())
					prepare(r)
					r.put(row.key(r), kind)
					r.refuses("a "+kind, sibling+" key: WRONGTYPE")
					if text := r.rdb.HGet(r.Context(), r.main, a).Val(); text != "" { // a renewal needs no sibling
						equal(r.T, "renewed", r.renew(a, lockTTL).Held, r.parseHold(a, text).expires > r.now().UnixMilli())
					}
				}
			}
		}
	}
	eachSemaphore(t, func(r *permits) { r.rows(list) })
}

// For its holders, a key that is in use as another kind is lost.
func TestPermitsOfAnotherKind(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		rw := newPermits(r.T, r.rdb, rwAt("key"), lease.ExclusiveWeight)
		r.has(a, 1)
		r.waits(b, 10)
		rw.refuses("a semaphore as an RWMutex", "WRONGTYPE")
		rw.fails("acquire", rw.update(a, 2, 0, 1), "the key is in use as a semaphore")
		equal(r.T, "renewed", rw.renew(a, lockTTL), lease.RenewResult{})

		// A size that no script can have stored would grant two writers, or none.
		for _, state := range []string{"r 1099511627775 1099511627776 0 0 1 3900000 1", "r 2199023255552 1099511627776 0 0 1 3900000 1"} {
			check(r.T, r.rdb.Del(r.Context(), r.main).Err())
			check(r.T, r.rdb.HSet(r.Context(), r.main, "state", state).Err())
			rw.refuses("an RWMutex of another size", "WRONGTYPE")
		}

		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		rw.has(a, 1)
		r.refuses("an RWMutex as a semaphore", "WRONGTYPE")
		r.fails("acquire", r.update(a, 2, 0, 1), "the key is in use as an RWMutex")

		r.unchanged("as a mutex", func() { r.fails("acquire", r.request(a, 1), "WRONGTYPE") })
		check(r.T, r.rdb.FlushAll(r.Context()).Err())

		check(r.T, r.rdb.Set(r.Context(), "key", a, lockTTL).Err())
		r.refuses("a mutex as a semaphore", "WRONGTYPE")
	})
}
