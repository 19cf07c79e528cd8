// Package rival has helpers for the tests of the adapters.
package rival

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// Of returns another client of the same server. To the library it is another process.
func Of(t *testing.T, rdb *redis.Client) *redis.Client {
	o := *rdb.Options()
	rival := redis.NewClient(&o)
	t.Cleanup(func() { rival.Close() })
	return rival
}

// Spawn starts a server and a worker process. It returns when the worker has locked its
// lock and has printed the error, nil.
func Spawn(t *testing.T, worker string) (*redistest.Server, *redistest.Worker) {
	s := redistest.Start(t)
	w := redistest.Spawn(t, worker, "RIVAL_URL="+s.URL())
	if line := <-w.Lines(); line != "<nil>" {
		t.Fatalf("%s: %s", worker, line)
	}
	return s, w
}

// Client returns a client of the server, in the worker process.
func Client() *redis.Client {
	o, err := redis.ParseURL(os.Getenv("RIVAL_URL"))
	if err != nil {
		panic(err)
	}
	return redis.NewClient(o)
}
