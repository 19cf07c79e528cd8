package semaphore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
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

// A release to several waiting processes costs one request, and a message to each process.
func TestCostRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 6)
		sem := weightedOf(all[5], 10, ample)
		release(t, acquire(t, sem, 1)) // the server learns the scripts
		held, rest := acquire(t, sem, 8), acquire(t, sem, 2)
		var waits []<-chan semaphore.Result
		for i, rdb := range all[:5] {
			waits = append(waits, queued(t, rdb, weightedOf(rdb, 10, ample), 2, int64(i+1)))
		}
		release(t, rest)
		leases := []*semaphore.Lease{receive(t, waits[0])} // the server learns the script of a partial release
		time.Sleep(10 * time.Millisecond)
		c.CheckCost(t, "a release to 4 processes", 1, 4, func() {
			release(t, held)
			for _, c := range waits[1:] {
				leases = append(leases, receive(t, c))
			}
		})
		for _, l := range leases {
			release(t, l)
		}
	})
}
