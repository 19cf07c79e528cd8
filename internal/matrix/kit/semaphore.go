package kit

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// WeightedOf returns a semaphore of n permits for "key".
func WeightedOf(rdb redis.UniversalClient, n int64, ttl time.Duration) *semaphore.Weighted {
	s := semaphore.NewWeighted(rdb, "key", n)
	s.TTL = ttl
	return s
}

// Acquire acquires n permits.
func Acquire(t *testing.T, s *semaphore.Weighted, n int64) *semaphore.Lease {
	t.Helper()
	l, err := s.AcquireLease(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Release checks that the permits were held to the end.
func Release(t *testing.T, l *semaphore.Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
}

// AwaitPermits makes s wait for n permits, and returns when s is the nth process in the queue.
func AwaitPermits(t *testing.T, rdb *redis.Client, s *semaphore.Weighted, n, nth int64) <-chan semaphore.Result {
	t.Helper()
	c := s.AcquireChan(t.Context(), n)
	AwaitQueue(t, rdb, nth)
	return c
}

// AwaitQueue returns when n processes wait for "key".
func AwaitQueue(t *testing.T, rdb *redis.Client, n int64) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return rdb.ZCard(context.Background(), "baton:{key}:queue").Val() == n }, "the queue has %d entries", n)
}

// Weighs checks that "key" has one holder with each of these weights, and that Redis stores their sum.
func Weighs(t *testing.T, rdb *redis.Client, when string, want ...int64) {
	t.Helper()
	status, err := WeightedOf(rdb, 0, semaphore.DefaultTTL).Inspect(t.Context())
	var got []int64
	sum := int64(0)
	for i := range status.Holders {
		got = append(got, status.Holders[i].Permits)
	}
	for _, w := range want {
		sum += w
	}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) || status.Used != sum {
		t.Errorf("%s: the holders' weights are %v, want %v; the stored sum is %d: %v", when, got, want, status.Used, err)
	}
}
