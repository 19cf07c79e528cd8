package redisstore

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A hook may add a prefix to each key. A message contains the key without that prefix, because its
// receivers compare it with their own keys.
func TestMessagesNameTheKeyWithoutAPrefix(t *testing.T) {
	eachServer(t, func(r *rig) {
		hooked := r.rdb.WithTimeout(r.rdb.Options().ReadTimeout) // a copy, for a hook of its own
		hooked.AddHook(redistest.PrefixKeys("tenant:"))
		at := func(key string) *rig {
			k := newRig(r.T, r.rdb, key)
			k.Store, k.queue, k.waiters = NewStore(hooked), "tenant:"+k.queue, "tenant:"+k.waiters
			return k
		}
		m, p, g := at("mutex"), at("semaphore").semaphore(), at("group").group()
		p.rig, g.rig = at("semaphore"), at("group")
		names := ""
		for _, message := range r.published(func() {
			m.held(a, b)
			m.release(a)
			m.acquire(c, 1)
			m.yield(b, d, 1)
			p.has(a, 10)
			p.waits(b, 10)
			p.release(a)
			g.applies("s", taskgroup.OpStart, a)
			g.applies("s", taskgroup.OpDone, a)
		}) {
			_, payload, _ := strings.Cut(message, ": ")
			h, _ := parseMessage(payload)
			names += string(rune(h.Kind)) + " " + h.Key + ", "
		}
		equal(r.T, "messages", names, "m mutex, m mutex, s semaphore, w group, ")
		for _, key := range r.rdb.Keys(r.Context(), "*").Val() {
			equal(r.T, key+" has the prefix", strings.HasPrefix(key, "tenant:"), true)
		}
	})
}
