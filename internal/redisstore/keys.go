package redisstore

import (
	"errors"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// All keys, fields and messages in Redis. K is the user's key. The Lua files that write them
// describe their values.
//
//	mutex (mutex_*.lua, lib/mutex.lua)
//	  K                     string  the owner's token
//	  baton:{K}:queue       zset    token -> place
//	  baton:{K}:waiters     hash    token -> "seen_at seq handover_ttl channel key"
//	  baton:{K}:fence       string  the last fence base
//
//	value beside a mutex (value_*.lua)
//	  baton:{K}:value       hash    value, kind, fence, token -> its writer's, written_at, fresh_until -> us, stale -> ms,
//	                                reset -> us when it was last deleted under a held mutex
//
//	reader/writer lock, semaphore (permits_*.lua, lib/permits.lua)
//	  K                     hash    token -> "expires weight ttl last_seq want_seq granted base shared channel"
//	                                state -> "kind size declared_size used queue_len last_base key_ttl written_at",
//	                                and " unnotified cursor indexed" while work is left; kind is r or s
//	  baton:{K}:holders     zset    token -> when its hold ends, or earlier
//	  baton:{K}:queue       zset    token -> place
//	  baton:{K}:waiters     hash    token -> "seen_at seq handover_ttl ttl want want_seq shared channel key"
//
//	limiter (limiter.lua)
//	  K                     string  "limit base taken rate written_at burst"
//	  baton:{K}:reservation:<id>
//	                        string  "base taken n due_at wait", or "refunded"
//
//	wait group (waitgroup_*.lua, lib/waitgroup.lua)
//	  K                     zset    score 0: "generation <g> count <n> abandoned <a> since <g>", and " scan <cursor>"
//	                                score in ms: a task's token, which ends then
//	                                score -g: "abandoned <g> <a>"
//	  baton:{K}:ops:<session>
//	                        hash    number of an operation -> "outcome name arg generation found",
//	                                acked, deleted -> number up to which operations are so
//
// lib/limits.lua has the lifetimes of the companion keys.
//
// Messages:
//
//	on baton:<process>
//	                        "m seq 0 base 1 contended token key": a mutex is handed over to token
//	                        "<kind> seq want_seq base weight contended token key": permits are granted to token
//	                        "<kind> 0 0 0 0 contended token key": token asks again, or others wait for what it
//	                        holds; key is "-"
//	on baton:{K}:value      "v fence 0 0 0 0 - key": a hold with that fence has written the value; with 0,
//	                        a leader has resigned and nobody holds the mutex
//	on baton:{K}:done       "w generation 0 0 abandoned 0 - key": a generation is finished
//	In a cluster, baton:@{tag}:x is the part of the channel baton:x on one node. See nodeChannel.
//
// A token is "baton:ttl:host:pid:process:serial", and ":label" if there is one. The serial ends
// with ! if the claim wants to know when others wait, and with ~ if the claim may also linger. In a cluster,
// the tag of the channel for that may follow.
//
// A key with a hash tag keeps it, as in baton:{tag}:queue:K. See keyParts.

// keyPrefix begins the name of every key that the library adds to the user's own.
const keyPrefix = "baton:{"

// keysFor returns the KEYS of the scripts of a primitive: the user's key as the user wrote it,
// then its companion keys. All share one slot of a cluster. No two user's keys share a
// companion key: the short form ends with the part's name, the long form with the user's key,
// and a tag contains no brace, so neither form can be read as the other.
func keysFor(name lease.Name) ([]any, error) {
	cached := &keyCache[maphash.String(keyCacheSeed, name.Key)%uint64(len(keyCache))]
	if last := cached.Load(); last != nil && last.name == name {
		return last.keys, nil
	}
	parts := []string{"holders", "queue", "waiters"}
	if name.Kind == lease.Mutex {
		parts = []string{"queue", "waiters", "fence"}
	}
	keys, err := buildKeys(name.Key, parts)
	if err == nil {
		cached.Store(&cachedKeys{name, keys})
	}
	return keys, err
}

// keyCache keeps the result of keysFor, so that a release need not repeat the work of its
// acquire. Keys with the same hash replace each other. Entries are never changed.
var (
	keyCache     [256]atomic.Pointer[cachedKeys]
	keyCacheSeed = maphash.MakeSeed()
)

type cachedKeys struct {
	name lease.Name
	keys []any
}

func buildKeys(key string, parts []string) ([]any, error) {
	prefix, suffix, err := keyParts(key)
	if err != nil {
		return nil, err
	}
	keys := make([]any, 1, 1+len(parts))
	keys[0] = key
	for _, part := range parts {
		keys = append(keys, prefix+part+suffix)
	}
	return keys, nil
}

// keyParts returns the prefix and the suffix of the names of key's companion keys. The part's
// name goes between them.
func keyParts(key string) (prefix, suffix string, err error) {
	switch {
	case key == "":
		return "", "", errors.New("the key is empty")
	case strings.HasPrefix(key, keyPrefix):
		return "", "", errors.New("keys that begin with " + keyPrefix + " are the library's own")
	}
	tag := key
	if t := hashtag(key); t != key {
		tag, suffix = t, ":"+key
	} else if strings.Contains(key, "}") {
		// Braces around such a key would be read as another tag.
		tag, suffix = tagOfSlot(slot(key)), ":"+key
	}
	return keyPrefix + tag + "}:", suffix, nil
}

// KeyOf returns the user's key whose companion key this is.
func KeyOf(companion string) (key string, ok bool) {
	tag, rest, ok := strings.Cut(strings.TrimPrefix(companion, keyPrefix), "}:")
	if !ok || !strings.HasPrefix(companion, keyPrefix) {
		return "", false
	}
	part, suffix, long := strings.Cut(rest, ":")
	switch part {
	case "queue", "waiters", "fence", "holders", "done":
	case "reservation", "ops":
		_, suffix, long = strings.Cut(suffix, ":") // behind the id
	default:
		return "", false
	}
	if long {
		return suffix, true
	}
	return tag, true
}

// hashtag returns the part of key that Redis Cluster hashes: the text between the first { and
// the next }, or the whole key if there is no such text.
func hashtag(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}

// slot is the cluster slot of a key: CRC16 (XMODEM) of its hashtag, modulo 16384.
func slot(key string) uint16 {
	var crc uint16
	for _, b := range []byte(hashtag(key)) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc & 16383
}

// tagOfSlot returns the smallest decimal number that hashes to the slot. It
// is used for keys that contain a brace but no hashtag.
func tagOfSlot(s uint16) string { return slotTags()[s] }

var slotTags = sync.OnceValue(func() *[16384]string {
	var tags [16384]string
	for n, left := 0, len(tags); left > 0; n++ {
		tag := strconv.Itoa(n)
		if s := slot(tag); tags[s] == "" {
			tags[s] = tag
			left--
		}
	}
	return &tags
})
