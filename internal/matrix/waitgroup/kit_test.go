package waitgroup_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

const leeway, poll = kit.Slack, kit.Poll

var (
	must = kit.Must

	// workers are what the test binary does when a test starts it as another process, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

func groupOf(rdb redis.UniversalClient, ttl time.Duration) *waitgroup.WaitGroup {
	wg := waitgroup.New(rdb, "key")
	wg.TTL = ttl
	return wg
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
	return kit.Receive(t, what, c, start, bound)
}

// goesOn checks that a wait does not end for so long.
func goesOn(t *testing.T, what string, c <-chan error, d time.Duration) {
	t.Helper()
	kit.Silent(t, what, c, d)
}

// succeeds checks an error that must not be.
func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// outstanding reads from Redis what is left of a group's round.
func outstanding(t *testing.T, rdb *redis.Client, key string) (count, tasks int64) {
	t.Helper()
	status, err := waitgroup.New(rdb, key).Inspect(t.Context())
	must(err)
	return status.Count, int64(len(status.Tasks))
}

// holds checks what is left of "key".
func holds(t *testing.T, what string, rdb *redis.Client, count, tasks int64) {
	t.Helper()
	if c, n := outstanding(t, rdb, "key"); c != count || n != tasks {
		t.Errorf("%s: a count of %d and %d tasks are left, not %d and %d", what, c, n, count, tasks)
	}
}

// listening waits until so many processes hear of the end of rounds of "key".
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
