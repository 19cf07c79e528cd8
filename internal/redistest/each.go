package redistest

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// EachServer runs f as the subtests "miniredis" and "redis", each with an empty server of that kind
// over TCP, in real time.
func EachServer(t *testing.T, f func(t *testing.T, rdb *redis.Client)) {
	t.Run("miniredis", func(t *testing.T) {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		f(t, connect(t, options(m.Addr()), nil))
	})
	t.Run("redis", func(t *testing.T) {
		f(t, Start(t).Client(t))
	})
}
