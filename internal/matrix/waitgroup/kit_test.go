package waitgroup_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

const leeway, poll = kit.Slack, kit.Poll

var (
	must                   = kit.Must
	is, lost, claim        = kit.Is, kit.Lost, kit.Claim
	checkCounts, listening = kit.Counts, kit.Listening

	// workers has the programs of worker processes, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for the command internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

func groupOf(rdb redis.UniversalClient, ttl time.Duration) *waitgroup.WaitGroup {
	wg := waitgroup.New(rdb, "key")
	wg.TTL = ttl
	return wg
}

// receiveResult receives the result of a wait within the bound from start.
func receiveResult(t *testing.T, desc string, c <-chan error, start time.Time, bound time.Duration) error {
	t.Helper()
	return kit.Receive(t, desc, c, start, bound)
}

// expectPending checks that a wait does not end within d.
func expectPending(t *testing.T, desc string, c <-chan error, d time.Duration) {
	t.Helper()
	kit.ExpectNone(t, desc, c, d)
}

// expectNil checks that err is nil.
func expectNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
