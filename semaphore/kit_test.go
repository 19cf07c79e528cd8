package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// To the library each client is a process of its own.

const (
	// ample is a TTL that a stall of the machine does not use up.
	ample = redistest.Patience
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// panics returns what f panics with.
func panics(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return
}

// weightedOf returns a semaphore of n permits for "key".
func weightedOf(rdb redis.UniversalClient, n int64, ttl time.Duration) *semaphore.Weighted {
	s := semaphore.NewWeighted(rdb, "key", n)
	s.TTL = ttl
	return s
}

// sibling returns another client of the same server, which may be in a bubble.
func sibling(t *testing.T, rdb *redis.Client) *redis.Client {
	t.Helper()
	o := *rdb.Options()
	another := redis.NewClient(&o)
	t.Cleanup(func() { another.Close() })
	return another
}

// bubbleClient returns a client of a miniredis in the time of a synctest bubble.
func bubbleClient(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	// The subscription lingers a moment after its last use, and in a bubble time
	// stands still once the test has returned.
	t.Cleanup(func() { time.Sleep(time.Second) })
	return rdb
}

// inOneAndFour runs f with one semaphore of n permits on a miniredis, and with those of four
// processes on a redis-server: of(i) is that of the i-th, counted round.
func inOneAndFour(t *testing.T, n int64, f func(t *testing.T, of func(i int) *semaphore.Weighted)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		all := []*semaphore.Weighted{weightedOf(rdb, n, ample)}
		if strings.HasSuffix(t.Name(), "/redis") {
			for range 3 {
				all = append(all, weightedOf(sibling(t, rdb), n, ample))
			}
		}
		f(t, func(i int) *semaphore.Weighted { return all[i%len(all)] })
	})
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

// receive waits for a lease.
func receive(t *testing.T, c <-chan semaphore.Result) *semaphore.Lease {
	t.Helper()
	select {
	case r := <-c:
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return r.Lease
	case <-time.After(redistest.Patience):
		t.Fatal("not granted")
		return nil
	}
}

// granted takes a lease that is there by now, in a bubble.
func granted(t *testing.T, c <-chan semaphore.Result) *semaphore.Lease {
	t.Helper()
	time.Sleep(10 * time.Millisecond)
	if len(c) == 0 {
		t.Fatal("not granted")
	}
	return receive(t, c)
}

// waits checks, in a bubble, that nothing is granted.
func waits(t *testing.T, all ...<-chan semaphore.Result) {
	t.Helper()
	time.Sleep(10 * time.Second)
	for _, c := range all {
		if len(c) > 0 {
			r := <-c
			t.Fatalf("got %v, %v", r.Lease, r.Err)
		}
	}
}

// members are the holds on "key" that Redis knows: a weight for each token.
func members(t *testing.T, rdb *redis.Client) map[string]int64 {
	t.Helper()
	all, err := rdb.HGetAll(context.Background(), "key").Result()
	must(err)
	delete(all, "state")
	weights := map[string]int64{}
	for token, text := range all {
		weights[token], err = strconv.ParseInt(strings.Fields(text)[1], 10, 64)
		must(err)
	}
	return weights
}

// weighs checks that Redis has one member with each of these weights, and counts
// their sum as in use.
func weighs(t *testing.T, rdb *redis.Client, when string, want ...int64) {
	t.Helper()
	var got []int64
	var sum int64
	for _, w := range members(t, rdb) {
		got = append(got, w)
		sum += w
	}
	slices.Sort(got)
	slices.Sort(want)
	if used := state(t, rdb, 3); !slices.Equal(got, want) || used != sum {
		t.Errorf("%s: Redis has %v, want weights %v; %d are counted as in use", when, got, want, used)
	}
}

// state is a number of the state of "key": 1 its size, 3 the permits in use, 4 how
// many wait.
func state(t *testing.T, rdb *redis.Client, field int) int64 {
	t.Helper()
	text, err := rdb.HGet(context.Background(), "key", "state").Result()
	if errors.Is(err, redis.Nil) {
		return 0
	}
	must(err)
	n, err := strconv.ParseInt(strings.Fields(text)[field], 10, 64)
	must(err)
	return n
}

// queued has s wait for n permits, and returns when it is the nth in line.
func queued(t *testing.T, rdb *redis.Client, s *semaphore.Weighted, n, nth int64) <-chan semaphore.Result {
	t.Helper()
	c := s.AcquireChan(t.Context(), n)
	awaitQueue(t, rdb, nth)
	return c
}

func awaitQueue(t *testing.T, rdb *redis.Client, n int64) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return rdb.ZCard(context.Background(), "baton:{key}:queue").Val() == n }, "%d are in line", n)
}

// rests waits until nothing is left in Redis but what is known of semaphores, which expires. A copy of a
// request that arrives after the release may have taken permits for a TTL.
func rests(t *testing.T, rdb *redis.Client) {
	t.Helper()
	ctx := context.Background()
	redistest.Eventually(t, ample+redistest.Patience, func() bool {
		for _, key := range rdb.Keys(ctx, "*").Val() {
			if rdb.HLen(ctx, key).Val() != 1 || rdb.PTTL(ctx, key).Val() <= 0 {
				return false
			}
		}
		return len(rdb.PubSubChannels(ctx, "baton:*").Val()) == 0
	}, "something stays in Redis")
}
