package semaphore_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// panics returns what f panics with.
func panics(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return
}

// TestLimiterKeys: any other key will do, and keys do not share a bucket.
func TestLimiterKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, key := range []string{"a", "{a}", "a}b", "{a}b", "x{a}", "{}", "\x00\xff", "a b", strings.Repeat("long", 1000)} {
			lim := semaphore.NewLimiter(rdb, key, 0.001, 2)
			if err := lim.Wait(t.Context()); err != nil {
				t.Errorf("%q: %v", key, err)
			}
			if !lim.Allow() || lim.Allow() {
				t.Errorf("%q: not two tokens", key)
			}
		}
	})
}

// TestLimiterBurst0 allows nothing, unless there is no limit.
func TestLimiterBurst0(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	if semaphore.NewLimiter(rdb, "key", 1, 0).Allow() || !semaphore.NewLimiter(rdb, "key", semaphore.Limit(math.Inf(1)), 0).Allow() {
		t.Error("not as expected")
	}
}
