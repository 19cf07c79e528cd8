package semaphore_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// An uncontended acquire costs one request, and a release another, for each method, with and without
// other permits in use. One request can release the permits of several acquires.
func TestCostUncontended(t *testing.T) {
	s := redistest.Start(t)
	sem := weightedOf(s.Client(t, redistest.Patient), 10, time.Hour)
	check := func(what string, want int64, f func()) {
		before := s.Stats(t)
		f()
		if cost := s.Stats(t).Since(before); cost.Requests() != want || cost.Published() != 0 {
			t.Errorf("%s costs %d requests, %d messages", what, cost.Requests(), cost.Published())
		}
	}
	for _, held := range []int64{0, 3} {
		must(sem.Acquire(t.Context(), held))
		for name, take := range ways(t, sem, 2) {
			take()() // the server learns the scripts
			check(name, 2, func() { take()() })
		}
	}
	for range 5 {
		must(sem.Acquire(t.Context(), 1))
	}
	check("Release", 1, func() { sem.Release(7) }) // of 8
	check("Release", 1, func() { sem.Release(1) })
}
