package waitgroup_test

import (
	"fmt"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// The benchmarks of sync's waitgroup_test.go, under their own names, less those
// that also work a few nanoseconds.

// BenchmarkWaitGroupUncontended gives each goroutine a key of its own, where sync's
// gives it a WaitGroup.
func BenchmarkWaitGroupUncontended(b *testing.B) {
	rdb := redistest.Start(b).Client(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		wg := waitgroup.New(rdb, fmt.Sprintf("key %p", pb))
		for pb.Next() {
			wg.Add(1)
			wg.Done()
			wg.Wait()
		}
	})
}

func BenchmarkWaitGroupAddDone(b *testing.B) {
	wg := waitgroup.New(redistest.Start(b).Client(b), "key")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			wg.Add(1)
			wg.Done()
		}
	})
}

func BenchmarkWaitGroupWait(b *testing.B) {
	wg := waitgroup.New(redistest.Start(b).Client(b), "key")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			wg.Wait()
		}
	})
}

// BenchmarkWaitGroupActuallyWait waits for generations that another process ends.
func BenchmarkWaitGroupActuallyWait(b *testing.B) {
	s := redistest.Start(b)
	here, there := s.Client(b), s.Client(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprintf("key %p", pb)
		wg, other := waitgroup.New(here, key), waitgroup.New(there, key)
		for pb.Next() {
			wg.Add(1)
			c := wg.WaitChan(b.Context())
			other.Done()
			must(<-c)
		}
	})
}
