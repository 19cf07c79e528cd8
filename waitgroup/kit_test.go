package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// To the library each client is a process of its own.

const (
	// leeway is what a busy machine may add to a bound.
	leeway = 600 * time.Millisecond
	// poll is for how long a lost message delays the end of a wait at most.
	poll = lease.MaxPollInterval
)

// sibling returns another client of the same server, which may be in a bubble.
func sibling(t testing.TB, rdb *redis.Client) *redis.Client {
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
	// What waits lingers a moment after its last use, and in a bubble time stands
	// still once the test has returned.
	t.Cleanup(func() { time.Sleep(time.Second) })
	return rdb
}

// inOneAndFour runs f on both servers, with one group of each key and with those
// of four processes: of(key, i) is that of the i-th, counted generation.
func inOneAndFour(t *testing.T, f func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup)) {
	for name, processes := range map[string]int{"one process": 1, "four processes": 4} {
		t.Run(name, func(t *testing.T) {
			redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
				clients := []*redis.Client{rdb}
				for len(clients) < processes {
					clients = append(clients, sibling(t, rdb))
				}
				groups := map[string]*waitgroup.WaitGroup{}
				f(t, func(key string, i int) *waitgroup.WaitGroup {
					name := fmt.Sprint(key, " ", i%processes)
					if groups[name] == nil {
						groups[name] = waitgroup.New(clients[i%processes], key)
					}
					return groups[name]
				})
			})
		})
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// is checks an error.
func is(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, not %v", what, err, target)
	}
}

// lost checks that a wait ended with so many tasks abandoned.
func lost(t *testing.T, what string, err error, tasks int) {
	t.Helper()
	var a *waitgroup.AbandonedError
	if !errors.As(err, &a) || !errors.Is(err, waitgroup.ErrAbandoned) || a.Tasks != tasks {
		t.Errorf("%s: %v, not %d abandoned", what, err, tasks)
	}
}

// ends takes the result of a wait, within the bound from start.
func ends(t *testing.T, what string, c <-chan error, start time.Time, bound time.Duration) error {
	t.Helper()
	select {
	case err := <-c:
		redistest.CheckDuration(t, what, start, bound, leeway)
		return err
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", what, bound)
		return nil
	}
}

// goesOn checks that a wait does not end for so long.
func goesOn(t *testing.T, what string, c <-chan error, d time.Duration) {
	t.Helper()
	select {
	case err := <-c:
		t.Fatalf("%s: ended with %v", what, err)
	case <-time.After(d):
	}
}

// outstanding reads from Redis what is left of a group's generation.
func outstanding(t *testing.T, rdb *redis.Client, key string) (count, tasks int64) {
	t.Helper()
	ctx := context.Background()
	members, err := rdb.ZRange(ctx, key, 0, -1).Result()
	must(err)
	i := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, "generation ") })
	if i < 0 {
		return 0, 0
	}
	var round, abandoned int64
	if _, err := fmt.Sscanf(members[i], "generation %d count %d abandoned %d", &round, &count, &abandoned); err != nil {
		t.Fatalf("%q: %v", members[i], err)
	}
	tasks, err = rdb.ZCount(ctx, key, "(0", "+inf").Result()
	must(err)
	return count, tasks
}

// holds checks what is left of "key".
func holds(t *testing.T, what string, rdb *redis.Client, count, tasks int64) {
	t.Helper()
	if c, n := outstanding(t, rdb, "key"); c != count || n != tasks {
		t.Errorf("%s: a count of %d and %d tasks are left, not %d and %d", what, c, n, count, tasks)
	}
}

// listening waits until so many processes hear of the end of generations of "key".
func listening(t *testing.T, rdb *redis.Client, processes int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool {
		return rdb.PubSubNumSub(context.Background(), "baton:{key}:done").Val()["baton:{key}:done"] == processes
	}, "not %d processes listen", processes)
}

func claim(t *testing.T, wg *waitgroup.WaitGroup) *waitgroup.Task {
	t.Helper()
	task, err := wg.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return task
}
