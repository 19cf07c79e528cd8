package mutex_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// The tests of sync's rwmutex_test.go, under their own names. Where it has one
// RWMutex, here are one or four for the same key, each on a client of its own:
// to the library, those are processes.

func reader(t *testing.T, rwm *mutex.RWMutex, num_iterations int, activity *int32, cdone chan bool) {
	for i := range num_iterations {
		if i%10 != 9 {
			rwm.RLock()
		} else if !rwm.TryRLock() { // sync's own has no tries
			continue
		}
		n := atomic.AddInt32(activity, 1)
		if n < 1 || n >= 10000 {
			t.Errorf("rlock(%d)", n)
		}
		for range 100 {
		}
		atomic.AddInt32(activity, -1)
		rwm.RUnlock()
	}
	cdone <- true
}

func writer(t *testing.T, rwm *mutex.RWMutex, num_iterations int, activity *int32, cdone chan bool) {
	for i := range num_iterations {
		if i%10 != 9 {
			rwm.Lock()
		} else if !rwm.TryLock() {
			continue
		}
		n := atomic.AddInt32(activity, 10000)
		if n != 10000 {
			t.Errorf("wlock(%d)", n)
		}
		for range 100 {
		}
		atomic.AddInt32(activity, -10000)
		rwm.Unlock()
	}
	cdone <- true
}

func HammerRWMutex(t *testing.T, fleet []*mutex.RWMutex, gomaxprocs, numReaders, num_iterations int) {
	runtime.GOMAXPROCS(gomaxprocs)
	// Number of active readers + 10000 * number of active writers.
	var activity int32
	cdone := make(chan bool)
	next := 0
	rwm := func() *mutex.RWMutex {
		next++
		return fleet[next%len(fleet)]
	}
	go writer(t, rwm(), num_iterations, &activity, cdone)
	var i int
	for i = 0; i < numReaders/2; i++ {
		go reader(t, rwm(), num_iterations, &activity, cdone)
	}
	go writer(t, rwm(), num_iterations, &activity, cdone)
	for ; i < numReaders; i++ {
		go reader(t, rwm(), num_iterations, &activity, cdone)
	}
	// Wait for the 2 writers and all readers to finish.
	for range 2 + numReaders {
		<-cdone
	}
}
