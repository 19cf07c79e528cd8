package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// OddKeys are unusual keys, for tests and fuzzers.
var OddKeys = []string{
	"", "key", "{}", "}", "{", "a}b", "{a}b", "x{a}y", "{}{a}", "{{a}}", " ", "a b", "a\nb", "\r\n", "\x00", "a\x00b", "\xff\xfe", "ключ",
	"baton:{", "baton:{a}:queue", "baton:x", "%s%d", "1 2 3",
}

// Usable reports whether a caller may use a key.
func Usable(key string) bool { return key != "" && !strings.HasPrefix(key, "baton:{") }

// PutTypes creates a key of each type that at most one primitive uses. It returns the keys by their
// descriptions.
func (s *Server) PutTypes(tb testing.TB) map[string]string {
	tb.Helper()
	keys := map[string]string{}
	for what, put := range map[string][]any{
		"a list": {"RPUSH", "list", "x"}, "a set": {"SADD", "set", "x"}, "a sorted set": {"ZADD", "zset", "1", "x"}, "a stream": {"XADD", "stream", "*", "x", "y"},
		"a hash": {"HSET", "hash", "x", "y"},
	} {
		s.Do(tb, put...)
		s.Do(tb, "PEXPIRE", put[1], 3600000)
		keys[what] = put[1].(string)
	}
	return keys
}

// AwaitEmpty waits until all remaining keys expire, and are hashes with one field or contain the
// given part after "baton:{", if it is not "". It also waits for the end of all subscriptions. A
// retry that arrives late may hold a key for a TTL.
func AwaitEmpty(tb testing.TB, rdb *redis.Client, ttl time.Duration, part string) {
	tb.Helper()
	ctx := context.Background()
	Eventually(tb, ttl+Patience, func() bool {
		keys, err := rdb.Keys(ctx, "*").Result()
		for _, key := range keys {
			spared := part != "" && strings.HasPrefix(key, "baton:{") && strings.Contains(key, part)
			if !spared && rdb.HLen(ctx, key).Val() != 1 || rdb.PTTL(ctx, key).Val() <= 0 {
				return false
			}
		}
		channels, again := rdb.PubSubChannels(ctx, "baton:*").Result()
		return err == nil && again == nil && len(channels) == 0
	}, "keys or subscriptions are left in Redis")
}

// dump returns a line with the value of each key. It skips keys with the suffix, unless that is "".
func (s *Server) dump(tb testing.TB, skippedSuffix string) string {
	tb.Helper()
	var all strings.Builder
	for _, key := range s.Keys(tb) {
		if skippedSuffix == "" || !strings.HasSuffix(key, skippedSuffix) {
			fmt.Fprintf(&all, "%q: %q\n", key, s.Do(tb, "DUMP", key))
		}
	}
	return all.String()
}
