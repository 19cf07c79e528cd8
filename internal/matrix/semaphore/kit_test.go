package semaphore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

const ample, poll = kit.Ample, kit.Poll

var (
	must, bounded, keeps = kit.Must, kit.Bounded, kit.Keeps

	// workers are what the test binary does when a test starts it as another process, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

// weightedOf returns a semaphore of n permits for "key".
func weightedOf(rdb redis.UniversalClient, n int64, ttl time.Duration) *semaphore.Weighted {
	s := semaphore.NewWeighted(rdb, "key", n)
	s.TTL = ttl
	return s
}

func acquire(t *testing.T, s *semaphore.Weighted, n int64) *semaphore.Lease {
	t.Helper()
	l, err := s.AcquireLease(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l *semaphore.Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
}

// receive takes a result that must be a lease, within the bound from now.
func receive(t *testing.T, what string, c <-chan semaphore.Result, bound time.Duration) *semaphore.Lease {
	t.Helper()
	r := kit.Receive(t, what, c, time.Now(), bound)
	if r.Err != nil {
		t.Fatalf("%s: %v", what, r.Err)
	}
	return r.Lease
}

// loses checks that a hold ends in time: see kit.Loses.
func loses(t *testing.T, l *semaphore.Lease, start time.Time, bound time.Duration) {
	t.Helper()
	kit.Loses(t, l, l.Release, l.Done(), start, bound)
}

// stored returns what Redis knows of "key": a weight for each token, and how many permits it counts
// as in use.
func stored(rdb *redis.Client) (weights map[string]int64, used int64) {
	weights = map[string]int64{}
	for token, text := range rdb.HGetAll(context.Background(), "key").Val() {
		fields := strings.Fields(text) // "kind size declared_size used …", or "expires weight …"
		if token == "state" {
			used, _ = strconv.ParseInt(fields[3], 10, 64)
			continue
		}
		weights[token], _ = strconv.ParseInt(fields[1], 10, 64)
	}
	return weights, used
}

// weighs checks that Redis has one hold with each of these weights, and counts their sum as in use.
func weighs(t *testing.T, rdb *redis.Client, when string, want ...int64) {
	t.Helper()
	weights, used := stored(rdb)
	got, sum := slices.Sorted(maps.Values(weights)), int64(0)
	for _, w := range want {
		sum += w
	}
	if slices.Sort(want); !slices.Equal(got, want) || used != sum {
		t.Errorf("%s: Redis has %v, want weights %v; %d are counted as in use", when, got, want, used)
	}
}

// awaitQueue returns when n processes are in the queue.
func awaitQueue(t *testing.T, rdb *redis.Client, n int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return rdb.ZCard(context.Background(), "baton:{key}:queue").Val() == n }, "%d are in the queue", n)
}

// queued has s wait for n permits, and returns when it is the nth in the queue.
func queued(t *testing.T, rdb *redis.Client, s *semaphore.Weighted, n, nth int64) <-chan semaphore.Result {
	t.Helper()
	c := s.AcquireChan(t.Context(), n)
	awaitQueue(t, rdb, nth)
	return c
}

// rests checks that within the bound nobody holds or awaits anything in Redis, and nobody listens.
// What is left is the size, which expires.
func rests(t *testing.T, rdb *redis.Client, within time.Duration) {
	t.Helper()
	kit.Rests(t, within+kit.Slack, func() string {
		list := slices.DeleteFunc(rdb.Keys(context.Background(), "*").Val(), func(key string) bool { return key == "key" })
		if weights, used := stored(rdb); len(weights) > 0 || used != 0 || rdb.PTTL(context.Background(), "key").Val() == -1 {
			list = append(list, fmt.Sprintf("%v, %d in use", weights, used))
		}
		return strings.Join(append(list, rdb.PubSubChannels(context.Background(), "baton:*").Val()...), ", ")
	})
}
