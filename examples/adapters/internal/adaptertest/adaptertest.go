// Package adaptertest has helpers for the tests of the adapters.
package adaptertest

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// NewClient returns another client of the same server. The library treats it as another process.
func NewClient(t *testing.T, rdb *redis.Client) *redis.Client {
	o := *rdb.Options()
	other := redis.NewClient(&o)
	t.Cleanup(func() { other.Close() })
	return other
}

// Spawn starts a server and a worker process. It returns when the worker has locked its
// lock and printed the error <nil>.
func Spawn(t *testing.T, worker string) (*redistest.Server, *redistest.Worker) {
	s := redistest.Start(t)
	w := redistest.Spawn(t, worker, "WORKER_REDIS_URL="+s.URL())
	if line := <-w.Lines(); line != "<nil>" {
		t.Fatalf("%s: %s", worker, line)
	}
	return s, w
}

// WorkerClient returns the worker process's client of the server.
func WorkerClient() *redis.Client {
	o, err := redis.ParseURL(os.Getenv("WORKER_REDIS_URL"))
	if err != nil {
		panic(err)
	}
	return redis.NewClient(o)
}
