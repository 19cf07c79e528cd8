// Package rival has what the tests of the adapters share.
package rival

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// Of returns another client of the same server: to the library, that is another
// process.
func Of(t *testing.T, rdb *redis.Client) *redis.Client {
	o := *rdb.Options()
	rival := redis.NewClient(&o)
	t.Cleanup(func() { rival.Close() })
	return rival
}

// Spawn starts a server, and a worker on it, which has got what it locks, and has
// said so by the error of that, when Spawn returns.
func Spawn(t *testing.T, worker string) (*redistest.Server, *redistest.Worker) {
	s := redistest.Start(t)
	w := redistest.Spawn(t, worker, "RIVAL_URL="+s.URL())
	if line := <-w.Lines(); line != "<nil>" {
		t.Fatalf("%s: %s", worker, line)
	}
	return s, w
}

// Client is the client of such a worker.
func Client() *redis.Client {
	o, err := redis.ParseURL(os.Getenv("RIVAL_URL"))
	if err != nil {
		panic(err)
	}
	return redis.NewClient(o)
}
