package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// What the tests of Weighted share. To the library each client is a process of
// its own.

const (
	// leeway is what a busy machine may add to a bound.
	leeway = 600 * time.Millisecond
	// ample is a TTL that a stall of the machine does not use up.
	ample = redistest.Patience
	// poll is how long a lost message delays a hand-over at most.
	poll = lease.MaxPollInterval
)

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

// inOneAndFour runs f on both servers, with one semaphore of n permits and with
// those of four processes: of(i) is that of the i-th, counted round.
func inOneAndFour(t *testing.T, n int64, f func(t *testing.T, of func(i int) *semaphore.Weighted)) {
	for name, processes := range map[string]int{"one process": 1, "four processes": 4} {
		t.Run(name, func(t *testing.T) {
			redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
				all := []*semaphore.Weighted{weightedOf(rdb, n, ample)}
				for len(all) < processes {
					all = append(all, weightedOf(sibling(t, rdb), n, ample))
				}
				f(t, func(i int) *semaphore.Weighted { return all[i%processes] })
			})
		})
	}
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

// bounded checks how long it took since start.
func bounded(t *testing.T, what string, start time.Time, bound time.Duration) {
	t.Helper()
	redistest.CheckDuration(t, what, start, bound, leeway)
}

// receive takes a result that is to be a lease, within the bound from now.
func receive(t *testing.T, what string, c <-chan semaphore.Result, bound time.Duration) *semaphore.Lease {
	t.Helper()
	start := time.Now()
	select {
	case r := <-c:
		if r.Err != nil {
			t.Fatalf("%s: %v", what, r.Err)
		}
		bounded(t, what, start, bound)
		return r.Lease
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", what, bound)
		return nil
	}
}

// excludes checks that what awaits permits does not get them for so long.
func excludes(t *testing.T, what string, c <-chan semaphore.Result, d time.Duration) {
	t.Helper()
	select {
	case r := <-c:
		t.Fatalf("%s: got %v, %v", what, r.Lease, r.Err)
	case <-time.After(d):
	}
}

// keeps checks that a hold lasts for so long.
func keeps(t *testing.T, l *semaphore.Lease, d time.Duration) {
	t.Helper()
	select {
	case <-l.Done():
		t.Errorf("the hold ended: %v", l.Err())
	case <-time.After(d):
	}
}

// members are the holds on "key" that Redis knows: a weight for each token.
func members(t *testing.T, rdb *redis.Client) map[string]int64 {
	t.Helper()
	all, err := rdb.HGetAll(context.Background(), "key").Result()
	if err != nil {
		t.Fatal(err)
	}
	delete(all, "state")
	weights := map[string]int64{}
	for token, text := range all {
		if weights[token], err = strconv.ParseInt(strings.Fields(text)[1], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return weights
}

// weighs checks that Redis has one member with each of these weights, and counts
// their sum as in use.
func weighs(t *testing.T, rdb *redis.Client, when string, want ...int64) {
	t.Helper()
	var sum int64
	rest := append([]int64(nil), want...)
	got := members(t, rdb)
	for _, w := range got {
		for i := range rest {
			if rest[i] == w {
				rest = append(rest[:i], rest[i+1:]...)
				break
			}
		}
		sum += w
	}
	if used := state(t, rdb, 3); len(rest) > 0 || len(got) != len(want) || used != sum {
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
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(text)[field], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitQueue returns when n processes stand in line.
func awaitQueue(t *testing.T, rdb *redis.Client, n int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return rdb.ZCard(context.Background(), "baton:{key}:queue").Val() == n }, "%d are in line", n)
}

// queued has s wait for n permits, and returns when it is the nth in line.
func queued(t *testing.T, rdb *redis.Client, s *semaphore.Weighted, n, nth int64) <-chan semaphore.Result {
	t.Helper()
	c := s.AcquireChan(t.Context(), n)
	awaitQueue(t, rdb, nth)
	return c
}

// rests checks that within the bound nobody holds or awaits anything in Redis, and
// nobody listens. What is left is the size, which expires, and the keys in but.
func rests(t *testing.T, rdb *redis.Client, within time.Duration, but ...string) {
	t.Helper()
	ctx := context.Background()
	leftover := func() string {
		var list []string
		for _, key := range rdb.Keys(ctx, "*").Val() {
			if slices.Contains(but, key) {
				continue
			}
			if key != "key" {
				list = append(list, key)
			} else if rdb.PTTL(ctx, key).Val() <= 0 {
				list = append(list, "a key for ever")
			}
		}
		if m := members(t, rdb); len(m) > 0 || state(t, rdb, 3) != 0 {
			list = append(list, fmt.Sprintf("%v, %d in use", m, state(t, rdb, 3)))
		}
		if c := rdb.PubSubChannels(ctx, "baton:*").Val(); len(c) > 0 {
			list = append(list, fmt.Sprintf("subscriptions %v", c))
		}
		return strings.Join(list, ", ")
	}
	redistest.Eventually(t, within+2*leeway, func() bool { return leftover() == "" }, "nothing is left in Redis, but there was %v", lazy(leftover))
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (f lazy) String() string { return f() }

// gauge counts the permits that are in use, by what those who hold them say.
type gauge struct {
	t            *testing.T
	size         int64
	inside, most atomic.Int64
}

// enter counts a holder in, and returns what counts it out.
func (g *gauge) enter(n int64) (leave func()) {
	now := g.inside.Add(n)
	if now > g.size {
		g.t.Errorf("%d permits of %d are in use", now, g.size)
	}
	for old := g.most.Load(); now > old && !g.most.CompareAndSwap(old, now); old = g.most.Load() {
	}
	return func() { g.inside.Add(-n) }
}

// meter is a go-redis hook that counts the scripts which a client runs.
type meter struct {
	scripts, pipelines atomic.Int64
}

func (m *meter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			m.scripts.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m.pipelines.Add(1)
		return next(ctx, cmds)
	}
}
