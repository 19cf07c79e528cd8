package main

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// TestConsume: events of a customer are handled one at a time, and Linger saves requests.
func TestConsume(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		t.Parallel()
		var inside [customers]atomic.Int32
		handle := func(customer int) {
			if inside[customer].Add(1) != 1 {
				t.Error("two events of a customer at the same time")
			}
			inside[customer].Add(-1)
		}
		var cost [2]float64
		for i, linger := range []time.Duration{0, 100 * time.Millisecond} {
			cost[i] = consume(rdb.Options(), 1000, linger, handle)
		}
		t.Logf("%.2f requests per event, with Linger %.2f", cost[0], cost[1])
		if cost[1] > cost[0]/2 {
			t.Errorf("with Linger %.2f requests per event, without %.2f", cost[1], cost[0])
		}
	})
}
