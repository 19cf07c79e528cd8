package semaphore_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// BenchmarkWeightedUncontended is an acquire and release that nobody disturbs, by a
// process that holds nothing and by one that holds some.
func BenchmarkWeightedUncontended(b *testing.B) {
	ctx := context.Background()
	for name, held := range map[string]int64{"alone": 0, "beside": 3} {
		b.Run(name, func(b *testing.B) {
			s := weightedOf(redistest.Start(b).Client(b), 16, ample)
			if held > 0 {
				must(s.Acquire(ctx, held))
				defer s.Release(held)
			}
			b.ReportAllocs()
			for b.Loop() {
				must(s.Acquire(ctx, 1))
				s.Release(1)
			}
		})
	}
}

// BenchmarkWeighted has 64 goroutines of one process pass 16 permits round.
func BenchmarkWeighted(b *testing.B) {
	server := redistest.Start(b)
	s := weightedOf(server.Client(b), 16, ample)
	b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	before := server.Stats(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			must(s.Acquire(context.Background(), 1))
			s.Release(1)
		}
	})
	b.ReportMetric(float64(server.Stats(b).Since(before).Scripts())/float64(b.N), "requests/op")
}
