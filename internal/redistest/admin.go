package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// missingIn6 maps error texts of Redis 6 to the missing feature.
var missingIn6 = map[string]string{
	"modifier '&":             "rights for channels came with Redis 6.2",
	"modifier 'resetchannels": "rights for channels came with Redis 6.2",
	"arguments for 'PAUSE'":   "CLIENT PAUSE WRITE came with Redis 6.2",
	"modifier '+spublish":     "sharded channels came with Redis 7.0",
	"'SHARDCHANNELS'":         "sharded channels came with Redis 7.0",
}

// Do runs any command over the server's own connection, e.g. "CONFIG", "SET", …, and returns the
// reply as go-redis decodes it. An error reply fails the test; a nil reply is nil. On Redis 6, Do
// skips the test if the server does not have the feature.
func (s *Server) Do(tb testing.TB, args ...any) any {
	tb.Helper()
	v, err := s.do(args...)
	if err != nil && strings.Contains(err.Error(), "modifier '&*'") { // Redis 6.0 allows all channels without it
		v, err = s.do(slices.DeleteFunc(slices.Clone(args), func(arg any) bool { return arg == "&*" })...)
	}
	if err != nil {
		for text, why := range missingIn6 {
			if strings.Contains(err.Error(), text) {
				tb.Skip(why)
			}
		}
		tb.Fatalf("redis %v: %v", args, err)
	}
	return v
}

func (s *Server) do(args ...any) (any, error) {
	s.mu.Lock()
	admin := s.admin
	s.mu.Unlock()
	if admin == nil {
		return nil, fmt.Errorf("redistest: server %s is down", s.Addr())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := admin.Do(ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, err
}

// Keys lists all keys of database 0 in order.
func (s *Server) Keys(tb testing.TB) []string {
	tb.Helper()
	return slices.Sorted(slices.Values(texts(s.Do(tb, "KEYS", "*"))))
}

// Subscribers counts the subscriptions to channels that match the glob pattern. Sharded channels and
// pattern subscriptions are not counted.
func (s *Server) Subscribers(tb testing.TB, pattern string) (total int) {
	tb.Helper()
	args := []any{"PUBSUB", "NUMSUB"}
	for _, c := range texts(s.Do(tb, "PUBSUB", "CHANNELS", pattern)) {
		args = append(args, c)
	}
	switch reply := s.Do(tb, args...).(type) {
	case []any:
		for i := 1; i < len(reply); i += 2 {
			total += int(reply[i].(int64))
		}
	case map[any]any:
		for _, n := range reply {
			total += int(n.(int64))
		}
	}
	return total
}

func texts(v any) []string {
	list := []string{}
	for _, e := range v.([]any) {
		list = append(list, e.(string))
	}
	return list
}
