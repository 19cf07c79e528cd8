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
	must, checkBound             = kit.Must, kit.CheckBound
	weightedOf, acquire, release = kit.WeightedOf, kit.Acquire, kit.Release
	enqueue, checkWeights        = kit.AwaitPermits, kit.Weighs
	stored                       = kit.Stored

	// workers has the programs of worker processes, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for the command internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

// receive receives a lease within the bound from now.
func receive(t *testing.T, desc string, c <-chan semaphore.Result, bound time.Duration) *semaphore.Lease {
	t.Helper()
	r := kit.Receive(t, desc, c, time.Now(), bound)
	if r.Err != nil {
		t.Fatalf("%s: %v", desc, r.Err)
	}
	return r.Lease
}

// expectLoss checks that a hold ends in time: see kit.ExpectLoss.
func expectLoss(t *testing.T, l *semaphore.Lease, start time.Time, bound time.Duration) {
	t.Helper()
	kit.ExpectLoss(t, l, l.Release, l.Done(), start, bound)
}

// expectNothingLeft checks that within the bound Redis has no holders, waiters and subscribers. Only the
// size is left, which expires.
func expectNothingLeft(t *testing.T, rdb *redis.Client, within time.Duration) {
	t.Helper()
	kit.ExpectNothingLeft(t, within+kit.Slack, func() string {
		list := slices.DeleteFunc(rdb.Keys(context.Background(), "*").Val(), func(key string) bool { return key == "key" })
		if weights, used := stored(rdb); len(weights) > 0 || used != 0 || rdb.PTTL(context.Background(), "key").Val() == -1 {
			list = append(list, fmt.Sprintf("%v, %d in use", weights, used))
		}
		return strings.Join(append(list, rdb.PubSubChannels(context.Background(), "baton:*").Val()...), ", ")
	})
}
