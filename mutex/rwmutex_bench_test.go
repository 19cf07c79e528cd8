package mutex_test

import (
	"fmt"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The benchmarks of sync's rwmutex_test.go, under their own names.

// BenchmarkRWMutexUncontended gives each goroutine a key of its own, where sync's
// gives it a RWMutex.
func BenchmarkRWMutexUncontended(b *testing.B) {
	rdb := redistest.Start(b).Client(b)
	keys := make(chan string)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for i := 0; ; i++ {
			select {
			case keys <- fmt.Sprint("key", i):
			case <-done:
				return
			}
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		rwm := mutex.NewRW(rdb, <-keys)
		for pb.Next() {
			rwm.RLock()
			rwm.RLock()
			rwm.RUnlock() //lint:ignore SA2001 as sync's own benchmark does
			rwm.RUnlock()
			rwm.Lock()
			rwm.Unlock() //lint:ignore SA2001 as sync's own benchmark does
		}
	})
}

func benchmarkRWMutex(b *testing.B, localWork, writeRatio int) {
	rwm := mutex.NewRW(redistest.Start(b).Client(b), "key")
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		foo := 0
		for pb.Next() {
			foo++
			if foo%writeRatio == 0 {
				rwm.Lock()
				rwm.Unlock() //lint:ignore SA2001 as sync's own benchmark does
			} else {
				rwm.RLock()
				for i := 0; i != localWork; i += 1 {
					foo *= 2
					foo /= 2
				}
				rwm.RUnlock()
			}
		}
		_ = foo
	})
}

func BenchmarkRWMutexWrite100(b *testing.B)     { benchmarkRWMutex(b, 0, 100) }
func BenchmarkRWMutexWrite10(b *testing.B)      { benchmarkRWMutex(b, 0, 10) }
func BenchmarkRWMutexWorkWrite100(b *testing.B) { benchmarkRWMutex(b, 100, 100) }
func BenchmarkRWMutexWorkWrite10(b *testing.B)  { benchmarkRWMutex(b, 100, 10) }
