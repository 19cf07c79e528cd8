package mutex_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// BenchmarkReplicas locks by one client on a server with one replica, which must confirm: with
// Replicas, and with a WAIT of its own after each grant, as Redisson does. It reports how long lock
// takes, in turns on the same server: for a goroutine with a free lock, and for each of 16 that want one.
func BenchmarkReplicas(b *testing.B) {
	s := redistest.Start(b)
	s.AddReplica(b)
	ctx := context.Background()
	single := func(o *redis.Options) { o.PoolSize = 1 } // WAIT counts what its own connection has written
	rdb := s.Client(b, single)
	none, confirmed, waits := mutex.New(s.Client(b), "none"), mutex.New(s.Client(b), "confirmed"), mutex.New(rdb, "waits")
	confirmed.Replicas = 1
	ways := []struct {
		name string
		m    *mutex.Mutex
		then func()
	}{
		{"none", none, func() {}},
		{"replicas", confirmed, func() {}},
		{"wait", waits, func() { must(rdb.Wait(ctx, 1, time.Second).Err()) }},
	}
	for _, goroutines := range []int{1, 16} {
		b.Run(map[int]string{1: "Free", 16: "Hot"}[goroutines], func(b *testing.B) {
			times := make([][]time.Duration, len(ways))
			for b.Loop() {
				for i, way := range ways {
					var mu sync.Mutex
					var wg sync.WaitGroup
					for range goroutines {
						wg.Go(func() {
							start := time.Now()
							l, err := way.m.LockContext(ctx)
							must(err)
							way.then()
							took := time.Since(start)
							must(l.Unlock())
							mu.Lock()
							defer mu.Unlock()
							times[i] = append(times[i], took)
						})
					}
					wg.Wait()
				}
			}
			for i, way := range ways {
				slices.Sort(times[i])
				n := len(times[i])
				b.ReportMetric(float64(times[i][n/2].Microseconds()), way.name+"-p50-µs")
				b.ReportMetric(float64(times[i][n*99/100].Microseconds()), way.name+"-p99-µs")
			}
		})
	}
}
