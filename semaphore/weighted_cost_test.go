package semaphore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// An acquire that nobody disturbs costs a request, and so does a release, in each style and
// whatever else the process holds.
func TestCostUncontended(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t, redistest.Patient)
	sem := weightedOf(rdb, 10, time.Hour)
	for _, held := range []int64{0, 3} {
		must(sem.Acquire(t.Context(), held))
		for name, take := range ways(t, sem, 2) {
			take()() // the server learns the scripts
			const n = 20
			before := s.Stats(t)
			for range n {
				take()()
			}
			cost := s.Stats(t).Since(before)
			if cost.Requests() != 2*n || cost.Published() != 0 {
				t.Errorf("%s: %d pairs beside %d held cost %d requests, %d messages", name, n, held, cost.Requests(), cost.Published())
			}
		}
		weighs(t, rdb, "what is held", []int64{held}[:min(held, 1)]...)
	}
	// What several acquires took can be released by one request.
	for range 5 {
		must(sem.Acquire(t.Context(), 1))
	}
	before := s.Stats(t)
	sem.Release(7) // and leaves one
	sem.Release(1)
	if n := s.Stats(t).Since(before).Requests(); n != 2 {
		t.Errorf("two releases of what six acquires took cost %d requests", n)
	}
}

// A release that lets several processes in costs a request, and a message to each of them.
func TestCostRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 6)
		sem := weightedOf(all[5], 10, ample)
		release(t, acquire(t, sem, 1)) // the server learns the scripts
		held, rest := acquire(t, sem, 8), acquire(t, sem, 2)
		var line []<-chan semaphore.Result
		for i, rdb := range all[:5] {
			line = append(line, queued(t, rdb, weightedOf(rdb, 10, ample), 2, int64(i+1)))
		}
		release(t, rest)
		leases := []*semaphore.Lease{granted(t, line[0])} // a release in part is known
		c.CheckCost(t, "a release that lets 4 in", 1, 4, func() {
			release(t, held)
			for _, c := range line[1:] {
				leases = append(leases, receive(t, c))
			}
		})
		for _, l := range leases {
			release(t, l)
		}
	})
}
