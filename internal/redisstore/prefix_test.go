package redisstore

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// prefixed is a hook that adds a prefix to every key.
var prefixed = redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error {
	for _, cmd := range cmds {
		if args := cmd.Args(); strings.HasPrefix(cmd.Name(), "eval") {
			for i := range args[2].(int) {
				args[3+i] = "tenant:" + args[3+i].(string)
			}
		}
	}
	return nil
})

// A hook may add a prefix to each key. A message contains the key without that prefix, because its
// receivers compare it with their own keys.
func TestMessagesNameTheKeyWithoutAPrefix(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		hooked := rdb.WithTimeout(rdb.Options().ReadTimeout) // a copy, for a hook of its own
		hooked.AddHook(prefixed)
		r := newRig(t, rdb, "key")
		r.Store = NewStore(hooked)
		for _, row := range []struct {
			name lease.Name
			do   func()
		}{
			{mutexAt("key"), func() {
				r.held(a, b)
				r.release(a)
				r.acquire(c, 1)
				r.yield(b, d, 1)
			}},
			{semaphoreAt("key"), func() {
				p := newPermits(t, rdb, semaphoreAt("key"), 10)
				p.Store = r.Store
				p.has(a, 10)
				p.waits(b, 10)
				p.release(a)
			}},
			{lease.Name{Kind: taskgroup.Kind, Key: "key"}, func() {
				g := newGroup(t, rdb, "key")
				g.Store = r.Store
				g.applies("s", taskgroup.OpStart, a)
				g.applies("s", taskgroup.OpDone, a)
			}},
		} {
			messages := r.published(row.do)
			if len(messages) == 0 {
				t.Errorf("%c: no message", row.name.Kind)
			}
			for _, m := range messages {
				_, payload, _ := strings.Cut(m, ": ")
				if h, ok := parseMessage(payload); !ok || h.Name != row.name {
					t.Errorf("%q names %v", m, h.Name)
				}
			}
			keys := rdb.Keys(t.Context(), "*").Val()
			if len(keys) == 0 || slices.ContainsFunc(keys, func(key string) bool { return !strings.HasPrefix(key, "tenant:") }) {
				t.Errorf("keys %q", keys)
			}
			check(t, rdb.FlushAll(t.Context()).Err())
		}
	})
}
