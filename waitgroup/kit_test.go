package waitgroup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// workers are the functions that a test can run in another process, by name.
var workers = map[string]func(){"panics": panicsProcess}

// goleak checks that the tests leave no goroutine.
func TestMain(m *testing.M) { redistest.Main(m, workers) }

// To the library, each client is a separate process.

// withOneAndFourProcesses runs f with the groups of one process on a miniredis, and with those of four
// processes on a redis-server: of(key, i) is that of process i, modulo their number.
func withOneAndFourProcesses(t *testing.T, f func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		clients := []*redis.Client{rdb}
		if strings.HasSuffix(t.Name(), "/redis") {
			clients = append(clients, sibling(t, rdb), sibling(t, rdb), sibling(t, rdb))
		}
		f(t, func(key string, i int) *waitgroup.WaitGroup { return waitgroup.New(clients[i%len(clients)], key) })
	})
}

var (
	must, sibling, bubbleClient = kit.Must, redistest.Sibling, redistest.BubbleClient
	is, lost, claim             = kit.Is, kit.Lost, kit.Claim
	holds                       = kit.Counts
)

// result returns the result of a wait.
func result(t *testing.T, what string, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(redistest.Patience):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// notEnded checks that no wait has a result.
func notEnded(t *testing.T, what string, all ...<-chan error) {
	t.Helper()
	for _, c := range all {
		if len(c) > 0 {
			t.Fatalf("%s: a wait ended with %v", what, <-c)
		}
	}
}
