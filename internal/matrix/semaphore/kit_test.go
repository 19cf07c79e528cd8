package semaphore_test

import (
	"context"
	"fmt"
	"slices"
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
	must, bounded                = kit.Must, kit.Bounded
	weightedOf, acquire, release = kit.WeightedOf, kit.Acquire, kit.Release
	queued, weighs               = kit.AwaitPermits, kit.Weighs
	stored                       = kit.Stored

	// workers are what the test binary does when a test starts it as another process, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

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
