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

// BenchmarkReplicas measures the time to lock on a server with one replica: without confirmation,
// with Replicas, and with a separate WAIT after each grant, as in Redisson. "Free" has one goroutine,
// and "Hot" has 16 for one lock.
func BenchmarkReplicas(b *testing.B) {
	s := redistest.Start(b)
	s.AddReplica(b)
	ctx := context.Background()
	single := func(o *redis.Options) { o.PoolSize = 1 } // WAIT covers the writes of its own connection
	rdb := s.Client(b, single)
	none, confirmed, waits := mutex.New(s.Client(b), "none"), mutex.New(s.Client(b), "confirmed"), mutex.New(rdb, "waits")
	confirmed.Replicas = 1
	variants := []struct {
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
			times := make([][]time.Duration, len(variants))
			for b.Loop() {
				for i, v := range variants {
					var mu sync.Mutex
					var wg sync.WaitGroup
					for range goroutines {
						wg.Go(func() {
							start := time.Now()
							l, err := v.m.LockContext(ctx)
							must(err)
							v.then()
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
			for i, v := range variants {
				slices.Sort(times[i])
				n := len(times[i])
				b.ReportMetric(float64(times[i][n/2].Microseconds()), v.name+"-p50-µs")
				b.ReportMetric(float64(times[i][n*99/100].Microseconds()), v.name+"-p99-µs")
			}
		})
	}
}
