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

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// To the library each client is a process of its own.

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
	_, all := redistest.MiniClients(t, 1)
	return all[0]
}

// inOneAndFour runs f with one group of each key on a miniredis, and with those of four processes
// on a redis-server: of(key, i) is that of the i-th, counted round.
func inOneAndFour(t *testing.T, f func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		clients := []*redis.Client{rdb}
		if strings.HasSuffix(t.Name(), "/redis") {
			clients = append(clients, sibling(t, rdb), sibling(t, rdb), sibling(t, rdb))
		}
		f(t, func(key string, i int) *waitgroup.WaitGroup { return waitgroup.New(clients[i%len(clients)], key) })
	})
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

// ends waits for the result of a wait.
func ends(t *testing.T, what string, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end", what)
		return nil
	}
}

// goesOn checks that waits have not ended.
func goesOn(t *testing.T, what string, all ...<-chan error) {
	t.Helper()
	for _, c := range all {
		if len(c) > 0 {
			t.Fatalf("%s: ended with %v", what, <-c)
		}
	}
}

// holds checks what is left of "key".
func holds(t *testing.T, what string, rdb *redis.Client, count, tasks int64) {
	t.Helper()
	ctx := context.Background()
	members, err := rdb.ZRange(ctx, "key", 0, -1).Result()
	must(err)
	var round, abandoned, c, n int64
	if i := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, "generation ") }); i >= 0 {
		_, err = fmt.Sscanf(members[i], "generation %d count %d abandoned %d", &round, &c, &abandoned)
		must(err)
		n, err = rdb.ZCount(ctx, "key", "(0", "+inf").Result()
		must(err)
	}
	if c != count || n != tasks {
		t.Errorf("%s: a count of %d and %d tasks are left, not %d and %d", what, c, n, count, tasks)
	}
}

// listening waits until so many processes hear of the end of generations of "key".
func listening(t *testing.T, rdb *redis.Client, processes int64) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool {
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
