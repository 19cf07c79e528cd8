package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// OddKeys are seeds for whatever takes keys.
var OddKeys = []string{
	"", "key", "{}", "}", "{", "a}b", "{a}b", "x{a}y", "{}{a}", "{{a}}", " ", "a b", "a\nb", "\r\n", "\x00", "a\x00b", "\xff\xfe", "ключ",
	"baton:{", "baton:{a}:queue", "baton:x", "%s%d", "1 2 3",
}

// Usable reports whether a caller may use a key.
func Usable(key string) bool { return key != "" && !strings.HasPrefix(key, "baton:{") }

// PutTypes makes a key of each type that no primitive has, or one only. It returns
// them by what they are.
func (s *Server) PutTypes(tb testing.TB) map[string]string {
	tb.Helper()
	for key, put := range map[string][]any{
		"list": {"RPUSH", "list", "x"}, "set": {"SADD", "set", "x"}, "zset": {"ZADD", "zset", "1", "x"}, "stream": {"XADD", "stream", "*", "x", "y"},
		"hash": {"HSET", "hash", "x", "y"},
	} {
		s.Do(tb, put...)
		s.Do(tb, "PEXPIRE", key, 3600000)
	}
	return map[string]string{"a list": "list", "a set": "set", "a sorted set": "zset", "a stream": "stream", "a hash": "hash"}
}

// Persistent lists the keys that do not expire.
func (s *Server) Persistent(tb testing.TB) (list []string) {
	tb.Helper()
	for _, key := range s.Keys(tb) {
		if s.Do(tb, "PTTL", key) == int64(-1) { // without one; -2 if it has just gone
			list = append(list, key)
		}
	}
	return list
}

// Dump is all that the server holds, a line for each key, but for those that end in
// spared, if that is not "".
func (s *Server) Dump(tb testing.TB, spared string) string {
	tb.Helper()
	var all strings.Builder
	for _, key := range s.Keys(tb) {
		if spared == "" || !strings.HasSuffix(key, spared) {
			fmt.Fprintf(&all, "%q: %q\n", key, s.Do(tb, "DUMP", key))
		}
	}
	return all.String()
}
