package redisstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// odd are keys that a naive "{key}:queue" gets wrong, and their neighbours.
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
	t.Parallel() // a cluster takes two seconds to be up
	r, s := realRig(t, "--cluster-enabled", "yes")
	slots := []any{"CLUSTER", "ADDSLOTS"} // Redis 6 knows no ranges
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	s.Do(t, slots...)
	big := append(slices.Clone(odd), strings.Repeat("k", 1<<20), strings.Repeat("}", 1<<20))
	keys := slices.Clone(big)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		key := make([]byte, 1+rng.IntN(12))
		for i := range key {
			key[i] = "ab{}{}\x00\xff"[rng.IntN(8)]
		}
		keys = append(keys, string(key))
	}
	for _, key := range keys {
		for _, k := range must(keysFor(mutexAt(key)))(t) {
			if got := s.Do(t, "CLUSTER", "KEYSLOT", k); got != int64(slot(key)) {
				t.Errorf("slot of %.30q, for %.30q: %v, not %d", k, key, got, slot(key))
			}
		}
	}
	// The server refuses a script whose keys are not all of one slot.
	redistest.Eventually(t, 10*time.Second, func() bool {
		return r.rdb.Del(t.Context(), "key").Err() == nil
	}, "the cluster is up")
	for _, key := range big {
		k := newRig(t, r.rdb, key)
		k.held(a, b)
		equal(t, "renewed", k.renew(a), true)
		equal(t, "yield", outcome(k.yield(a, c, 1)), "wait")
		equal(t, "released", k.release(b), true)
		equal(t, "owner", k.owner(), c)
	}
}

// Every key has its own lock, queue and fence, and messages name it to the byte.
func TestOddKeysAreApart(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		start := time.Now()
		said := r.published(func() {
			for i, key := range odd {
				k := newRig(t, r.rdb, key)
				k.held(fmt.Sprint("baton:10000:", i), b)
			}
			for i, key := range odd {
				equal(t, "owned", newRig(t, r.rdb, key).release(fmt.Sprint("baton:10000:", i)), true)
			}
		})
		if time.Since(start) > lease.WaiterTTL { // who waits is passed over by then
			t.Log("too slow to compare")
			return
		}
		equal(t, "messages", len(said), len(odd))
		for i, key := range odd {
			h, ok := parseMessage(strings.TrimPrefix(said[i], channelOf(b)+": "))
			if !ok || h.Key != key || h.Token != b || h.Seq != 1 || h.FenceBase != newRig(t, r.rdb, key).last() {
				t.Errorf("message for %.30q: %.100q", key, said[i])
			}
		}
		for _, key := range odd {
			newRig(t, r.rdb, key).release(b)
		}
		equal(t, "keys: a fence for each", int(r.rdb.DBSize(r.Context()).Val()), len(odd))
	})
}

func TestKeysThatAreRefused(t *testing.T) {
	for _, key := range []string{"", "baton:{x}:queue", "baton:{", "baton:{x}", "baton:{}y"} {
		if keys, err := keysFor(mutexAt(key)); err == nil {
			t.Errorf("%q: %q", key, keys)
		}
	}
	for _, key := range odd {
		if _, err := keysFor(mutexAt(key)); err != nil {
			t.Errorf("%.30q: %v", key, err)
		}
	}
}

// family returns every key that the library may use for the primitives at key.
func family(key string) (keys []any, err error) {
	base, suffix, err := keyParts(key)
	if err != nil {
		return nil, err
	}
	keys = []any{key, base + "reservation:ID" + suffix, base + "ops:ID" + suffix, base + "done" + suffix}
	for _, kind := range []lease.Kind{lease.Mutex, lease.RWMutex} { // a semaphore has those of an RWMutex
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
			keys, err := family(key)
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
					t.Errorf("%q is said to belong to %q, not to %q", k, of, key)
				}
				seen[k] = key
			}
			if one == two {
				break
			}
		}
	})
}
