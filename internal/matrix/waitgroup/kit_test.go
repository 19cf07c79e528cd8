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
	must             = kit.Must
	is, lost, claim  = kit.Is, kit.Lost, kit.Claim
	holds, listening = kit.Counts, kit.Listening

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
