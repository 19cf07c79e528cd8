// Package dropin checks that the types of this module are drop-in replacements: the tests of sync, and
// of semaphore and singleflight in golang.org/x/sync, pass on them. Its test takes these tests from
// GOROOT and from the module cache, and replaces their imports by the packages below. Those provide
// the client and the key that a zero value lacks.
package dropin

import (
	"crypto/rand"
	"os"
	"sync"

	"github.com/redis/go-redis/v9"
)

// URLEnv names the environment variable with the URL of the Redis server.
const URLEnv = "BATON_DROPIN_URL"

// Client returns the client of this process.
var Client = sync.OnceValue(func() *redis.Client {
	opts, err := redis.ParseURL(os.Getenv(URLEnv))
	if err != nil {
		panic(err)
	}
	return redis.NewClient(opts)
})

// NewKey returns a new key.
func NewKey() string { return rand.Text() }
