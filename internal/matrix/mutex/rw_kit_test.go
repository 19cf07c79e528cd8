package mutex_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func rwOf(rdb redis.UniversalClient, ttl time.Duration) *mutex.RWMutex {
	m := mutex.NewRW(rdb, "key")
	m.TTL = ttl
	return m
}

func wlock(t *testing.T, m *mutex.RWMutex) *mutex.Lease {
	t.Helper()
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func rlock(t *testing.T, m *mutex.RWMutex) *mutex.Lease {
	t.Helper()
	l, err := m.RLockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rwQueued begins to wait, and returns when Redis has the process as the nth in
// the line of "key".
func rwQueued(t *testing.T, s *redistest.Server, lock func(context.Context) <-chan mutex.Result, nth int64) <-chan mutex.Result {
	t.Helper()
	c := lock(t.Context())
	awaitRWQueue(t, s, nth)
	return c
}

func awaitRWQueue(t *testing.T, s *redistest.Server, length int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{key}:queue") == length }, "%d are in the line", length)
}

// rwRests checks that within the bound nobody holds or awaits anything in Redis:
// of a key there is no more than its state.
func rwRests(t *testing.T, s *redistest.Server, within time.Duration) {
	t.Helper()
	left := func() string {
		var list []string
		for _, key := range s.Keys(t) {
			if strings.HasPrefix(key, "baton:{") || s.Do(t, "TYPE", key) != "hash" || s.Do(t, "HLEN", key) != int64(1) {
				list = append(list, key)
			}
		}
		if s.Subscribers(t, "baton:*") > 0 {
			list = append(list, "subscriptions")
		}
		return strings.Join(list, ", ")
	}
	redistest.Eventually(t, within+slack, func() bool { return left() == "" }, "nothing is left in Redis, but there was %v", lazy(left))
}

// holdersOf is how many processes hold "key".
func holdersOf(t *testing.T, s *redistest.Server) int64 {
	t.Helper()
	return s.Do(t, "HLEN", "key").(int64) - 1
}
