package mutex_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// BenchmarkMutexUncontended is a lock and unlock that nobody else wants, beside
// the least that a lock on Redis can be, SET NX PX and a compare-and-delete, in
// turns on the same server. It reports both medians and their ratio.
func BenchmarkMutexUncontended(b *testing.B) {
	s := redistest.Start(b)
	rdb := s.Client(b)
	ctx := context.Background()
	del := redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)
	floor := func() {
		must(rdb.SetArgs(ctx, "floor", "token", redis.SetArgs{Mode: "NX", TTL: 10 * time.Second}).Err())
		must(del.Run(ctx, rdb, []string{"floor"}, "token").Err())
	}
	m := mutex.New(rdb, "key")
	ours := func() {
		l, err := m.LockContext(ctx)
		must(err)
		must(l.Unlock())
	}
	floor()
	ours()
	var times [2][]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, f := range []func(){floor, ours} {
			start := time.Now()
			f()
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	f, o := times[0][len(times[0])/2], times[1][len(times[1])/2]
	b.ReportMetric(float64(f.Nanoseconds()), "floor-ns")
	b.ReportMetric(float64(o.Nanoseconds()), "ours-ns")
	b.ReportMetric(float64(o)/float64(f), "ratio")
}

// BenchmarkMutex is sync's: goroutines of one process that all want the lock.
func BenchmarkMutex(b *testing.B) {
	rdb := redistest.Start(b).Client(b)
	m := mutex.New(rdb, "key")
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Lock()
			m.Unlock() //lint:ignore SA2001 as sync's own benchmark does
		}
	})
}

// BenchmarkMutexClients has four clients, to the library four processes, of
// eight goroutines each want the lock.
func BenchmarkMutexClients(b *testing.B) {
	s := redistest.Start(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range 4 {
		m := mutex.New(s.Client(b), "key")
		for range 8 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					m.Lock()
					m.Unlock() //lint:ignore SA2001 as sync's own benchmark does
				}
			})
		}
	}
	wg.Wait()
}
