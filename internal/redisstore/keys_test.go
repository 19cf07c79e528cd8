package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
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
	r, _ := realRig(t, "--cluster-enabled", "yes")
	for _, key := range odd {
		equal(t, fmt.Sprintf("slot of %.30q", key), must(r.rdb.ClusterKeySlot(t.Context(), key).Result())(t), int64(slot(key)))
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	s := NewStore(newClient(t)) // nothing is sent
	for _, key := range []string{"", "baton:{x}:queue", "baton:{", "baton:{x}", "baton:{}y"} {
		for i, err := range []error{
			errorOf(s.Acquire(t.Context(), lease.Request{Name: mutexAt(key), Token: a, TTL: lockTTL})),
			errorOf(s.Release(t.Context(), mutexAt(key), a)),
			errorOf(s.UpdateGroup(t.Context(), taskgroup.Operation{Key: key, Op: taskgroup.OpAdd})),
			errorOf(s.GroupStatus(t.Context(), key, 0)),
			errorOf(s.ReadValue(t.Context(), key)),
			errorOf(s.WriteValue(t.Context(), lease.ValueWrite{Key: key})),
			errorOf(s.DeleteValue(t.Context(), key)),
		} {
			expect(t, fmt.Sprintf("operation %d on %q", i, key), err, "permanent", "key")
		}
		if errorOf(s.DoneChannel(key)) == nil {
			t.Errorf("%q has a channel", key)
		}
	}
}

// Every key of a primitive is in the slot of its main key, and belongs to no other primitive's key.
func TestKeysOfAPrimitive(t *testing.T) {
	seen := map[string]string{}
	for _, key := range append(odd, "{}", "{key}", "x", "{x}") {
		base, suffix, err := keyParts(key)
		if refused := strings.HasPrefix(key, keyPrefix); refused != (err != nil) {
			t.Errorf("%q: %v", key, err)
		}
		if err != nil || seen[key] == key {
			continue
		}
		all := []string{key, base + "reservation:ID" + suffix, base + "ops:ID" + suffix, base + "done" + suffix}
		for _, name := range []lease.Name{mutexAt(key), rwAt(key)} { // a semaphore has the keys of an RWMutex
			for _, k := range must(keysFor(name))(t) {
				if !slices.Contains(all, k.(string)) { // both have a queue and waiters
					all = append(all, k.(string))
				}
			}
		}
		equal(t, "keys", len(all), 1+3+3+1)
		value := must((*Store)(nil).ValueChannel(key))(t)
		equal(t, "slot of "+value, slot(value), slot(key))
		for _, k := range all {
			equal(t, fmt.Sprintf("slot of %.60q", k), slot(k), slot(key))
			if of, taken := seen[k]; taken {
				t.Errorf("%.60q belongs to %.60q and to %.60q", k, of, key)
			}
			if of, ok := KeyOf(k); ok != (k != key) || ok && of != key {
				t.Errorf("KeyOf(%.60q) is %.60q, want %.60q", k, of, key)
			}
			seen[k] = key
		}
	}
}

func TestLockOrder(t *testing.T) {
	got := LockOrder([]string{"c", "{b}2", "a", "b", "c", "{b}1", "a"})
	for i, key := range got[1:] {
		if before := got[i]; slot(before) > slot(key) || slot(before) == slot(key) && before >= key {
			t.Errorf("%q comes before %q", before, key)
		}
	}
	equal(t, "number", len(got), 5)
	equal(t, "the order of another list", fmt.Sprint(LockOrder([]string{"{b}1", "{b}2", "c", "b", "a"})), fmt.Sprint(got))
}
