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

// keyPrefix starts the name of every key that the library adds to the user's own.
const keyPrefix = "baton:{"

// keysFor returns what KEYS holds for the primitive at key: the key itself, as the
// user wrote it, then the parts of its kind. All share one slot of a cluster,
// and no two keys share a sibling: the short form ends with its part's name, the
// long form ends with the key, and a tag holds no brace that would let one be
// read as the other.
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

// keyCache saves a release the work that its acquire has done, and the next
// acquire too, unless another key took its place meanwhile. Nobody writes to what they
// point to.
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

// keyParts returns what the name of a sibling of key has before and after the
// name of its part.
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

// hashtag returns the part of key that Redis Cluster hashes: what stands between
// the first { and the next }, unless that is nothing, and else the whole key.
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

// tagOfSlot returns the smallest decimal number that hashes to the slot. Only
// keys that contain a brace but no hashtag come here.
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
