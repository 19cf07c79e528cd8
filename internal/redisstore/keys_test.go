package redisstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// odd are keys that a naive "{key}:queue" maps to a wrong slot, and similar keys.
var odd = []string{
	"key", "a b", "a\nb\r\n", "a\x00b", "\x00", "\xff\xfe", "ключ", "錠前 🔒",
	"}", "{", "{}", "}{", "{a", "a}", "a}b", "{a}", "{a}b", "x{a}y", "{{a}}", "a{}b{c}d", "{}{a}", "{a}{b}", "a}b{c}", "a{b", "{a\nb}c",
	"queue", "{queue}", "fence:key", "key}:queue", "baton", "baton:", "baton:x", "Baton:{x}:queue", " baton:{x}",
	strings.Repeat("k", 1<<16), strings.Repeat("}", 1<<16),
}

func TestSlot(t *testing.T) {
	for key, want := range map[string]uint16{
		"123456789": 0x31C3, "": 0, "foo": 12182, "bar": 5061, "{foo}bar": 12182, "a{foo}{bar}": 12182, "{{foo}}": slot("x{{foo}y"),
	} {
		equal(t, "slot of "+key, slot(key), want)
	}
	for s := range uint16(16384) {
		if got := slot("{" + tagOfSlot(s) + "}:queue"); got != s {
			t.Fatalf("tag %s of slot %d hashes to %d", tagOfSlot(s), s, got)
		}
	}
}

func TestSlotIsTheServers(t *testing.T) {
	r, s := realRig(t, "--cluster-enabled", "yes")
	slots := []any{"CLUSTER", "ADDSLOTS"} // Redis 6 has no ADDSLOTSRANGE
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	s.Do(t, slots...)
	keys := slices.Clone(odd)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		key := make([]byte, 1+rng.IntN(12))
		for i := range key {
			key[i] = "ab{}{}\x00\xff"[rng.IntN(8)]
		}
		keys = append(keys, string(key))
	}
	pipe, slotOf := r.rdb.Pipeline(), map[string]*redis.IntCmd{}
	for _, key := range keys {
		slotOf[key] = pipe.ClusterKeySlot(t.Context(), key)
	}
	_, _ = pipe.Exec(t.Context())
	for key, got := range slotOf { // FuzzKeys compares the siblings' slots with that of the key
		equal(t, fmt.Sprintf("slot of %.30q", key), must(got.Result())(t), int64(slot(key)))
	}
	// The server refuses a script whose keys are not all of one slot.
	redistest.Eventually(t, 10*time.Second, func() bool {
		return r.rdb.Del(t.Context(), "key").Err() == nil
	}, "the cluster is up")
	for _, key := range odd {
		k := newRig(t, r.rdb, key)
		k.held(a, b)
		equal(t, "renewed", k.renew(a), true)
		equal(t, "yield", outcome(k.yield(a, c, 1)), "wait")
		equal(t, "released", k.release(b), true)
		equal(t, "owner", k.owner(), c)
	}
}

// Every key has its own lock, permits and group, and messages contain the exact key.
func TestOddKeysAreApart(t *testing.T) {
	eachServer(t, func(r *rig) {
		for _, kind := range []lease.Kind{lease.Mutex, lease.RWMutex, taskgroup.Kind} {
			check(r.T, r.rdb.FlushAll(r.Context()).Err())
			messages := r.published(func() {
				for i, key := range odd {
					p, g := newPermits(r.T, r.rdb, rwAt(key), exclusive), newGroup(r.T, r.rdb, key)
					switch token := fmt.Sprint("baton:10000:", i); kind {
					case lease.Mutex:
						k := newRig(r.T, r.rdb, key)
						k.held(token, b)
						equal(r.T, "owned", k.release(token), true)
					case lease.RWMutex:
						p.has(token, exclusive)
						p.waits(b, 1)
						equal(r.T, "owned", p.release(token), true)
					default:
						g.applies("s", taskgroup.OpAdd, 1)
						g.applies("s", taskgroup.OpClaim, token)
						equal(r.T, "renewed", g.renew(token, lockTTL), true)
						g.applies("s", taskgroup.OpDone, token)
					}
				}
			})
			equal(r.T, "messages", len(messages), len(odd))
			for i, key := range odd {
				channel := channelOf(b) + ": "
				if kind == taskgroup.Kind {
					channel = newGroup(r.T, r.rdb, key).channel + ": "
				}
				if h, ok := parseMessage(strings.TrimPrefix(messages[i], channel)); !ok || h.Key != key || h.Kind != kind {
					r.Errorf("message for %.30q: %.100q", key, messages[i])
				}
			}
			if kind == taskgroup.Kind {
				equal(r.T, "keys", r.rdb.DBSize(r.Context()).Val(), int64(2*len(odd)))
			}
		}
	})
}

func TestKeysThatAreRefused(t *testing.T) {
	s := NewStore(newClient(t)) // nothing is sent
	for _, key := range []string{"", "baton:{x}:queue", "baton:{", "baton:{x}", "baton:{}y"} {
		for what, do := range map[string]func() error{
			"acquire": func() error {
				_, err := s.Acquire(t.Context(), lease.Request{Name: mutexAt(key), Token: a, TTL: lockTTL})
				return err
			},
			"release": func() error { _, err := s.Release(t.Context(), mutexAt(key), a); return err },
			"update": func() error {
				_, err := s.UpdateGroup(t.Context(), taskgroup.Operation{Key: key, Op: taskgroup.OpAdd})
				return err
			},
			"status": func() error { _, err := s.GroupStatus(t.Context(), key, 0); return err },
			"read":   func() error { _, err := s.ReadValue(t.Context(), key); return err },
			"write":  func() error { _, err := s.WriteValue(t.Context(), lease.ValueWrite{Key: key}); return err },
			"delete": func() error { _, err := s.DeleteValue(t.Context(), key); return err },
		} {
			expect(t, what, do(), "permanent", "key")
		}
		if _, err := s.DoneChannel(key); err == nil {
			t.Errorf("%q has a channel", key)
		}
	}
}

// allKeys returns every key that the library may use for the primitives at key.
func allKeys(key string) (keys []any, err error) {
	base, suffix, err := keyParts(key)
	if err != nil {
		return nil, err
	}
	keys = []any{key, base + "reservation:ID" + suffix, base + "ops:ID" + suffix, base + "done" + suffix}
	for _, kind := range []lease.Kind{lease.Mutex, lease.RWMutex} { // a semaphore has the keys of an RWMutex
		named, err := keysFor(lease.Name{Kind: kind, Key: key})
		if err != nil {
			return nil, err
		}
		if named[0] != any(key) || len(named) != 4 {
			return nil, fmt.Errorf("the siblings are %q", named)
		}
		for _, k := range named[1:] {
			if !slices.Contains(keys, k) { // both kinds have a queue and waiters
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}

func FuzzKeys(f *testing.F) {
	for i, key := range odd {
		if len(key) < 100 {
			f.Add(key, odd[(i+1)%len(odd)])
			f.Add(key, "{"+key+"}")
		}
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		seen := map[any]string{}
		for _, key := range []string{one, two} {
			keys, err := allKeys(key)
			if refused := key == "" || strings.HasPrefix(key, keyPrefix); refused != (err != nil) {
				t.Errorf("%q: %v", key, err)
			}
			for _, k := range keys {
				if slot(k.(string)) != slot(key) {
					t.Errorf("%q is in slot %d, %q in %d", k, slot(k.(string)), key, slot(key))
				}
				if of, taken := seen[k]; taken {
					t.Errorf("%q belongs to %q and to %q", k, of, key)
				}
				if of, ok := KeyOf(k.(string)); ok != (k != any(key)) || ok && of != key {
					t.Errorf("KeyOf(%q) is %q, want %q", k, of, key)
				}
				seen[k] = key
			}
			if value, err := (*Store)(nil).ValueChannel(key); err == nil && slot(value) != slot(key) {
				t.Errorf("%q is in slot %d, %q in %d", value, slot(value), key, slot(key))
			}
			if one == two {
				break
			}
		}
	})
}
