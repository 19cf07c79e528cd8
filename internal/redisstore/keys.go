package redisstore

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// reserved starts the name of every key that the library adds to the user's own.
const reserved = "baton:{"

// siblings returns what KEYS holds for the lock at key: the key itself, as the
// user wrote it, then its queue, its waiters and its fence. All share one slot
// of a cluster, and no two keys share a sibling: the short form ends with its
// part's name, the long form ends with the key, and a tag holds no brace that
// would let one be read as the other.
func siblings(key string) ([]any, error) {
	if last := lastSiblings.Load(); last != nil && (*last)[0] == key {
		return *last, nil
	}
	names, err := newSiblings(key)
	if err == nil {
		lastSiblings.Store(&names)
	}
	return names, err
}

// lastSiblings saves a release the work that its acquire has done. Nobody writes
// to what it points to.
var lastSiblings atomic.Pointer[[]any]

func newSiblings(key string) ([]any, error) {
	switch {
	case key == "":
		return nil, errors.New("the key is empty")
	case strings.HasPrefix(key, reserved):
		return nil, errors.New("keys that begin with " + reserved + " are the library's own")
	}
	tag, suffix := key, ""
	if t := hashtag(key); t != key {
		tag, suffix = t, ":"+key
	} else if strings.Contains(key, "}") {
		// Braces around such a key would be read as another tag.
		tag, suffix = tagOfSlot(slot(key)), ":"+key
	}
	base := reserved + tag + "}:"
	return []any{key, base + "queue" + suffix, base + "waiters" + suffix, base + "fence" + suffix}, nil
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
