// Package dropin checks that the types of this module are drop-in replacements: the own
// tests of sync, and of semaphore and singleflight in golang.org/x/sync, pass on them. Its
// test takes these tests from GOROOT and from the module cache, and has them import the
// packages below instead, which supply what a zero value lacks: a client and a key.
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

// NewKey returns a key that nothing else uses.
func NewKey() string { return rand.Text() }
