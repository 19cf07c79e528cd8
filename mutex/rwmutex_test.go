package mutex_test

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The tests of sync's rwmutex_test.go, under their own names. Where it has one
// RWMutex, here are one or four for the same key, each on a client of its own:
// to the library, those are processes.

// rwFleet returns as many locks for one key.
func rwFleet(t *testing.T, rdb *redis.Client, processes int) (fleet []*mutex.RWMutex) {
	t.Helper()
	fleet = []*mutex.RWMutex{mutex.NewRW(rdb, "key")}
	for len(fleet) < processes {
		fleet = append(fleet, mutex.NewRW(anotherClient(t, rdb), "key"))
	}
	return fleet
}

func parallelReader(m *mutex.RWMutex, clocked, cunlock, cdone chan bool) {
	m.RLock()
	clocked <- true
	<-cunlock
	m.RUnlock()
	cdone <- true
}

func doTestParallelReaders(fleet []*mutex.RWMutex, numReaders, gomaxprocs int) {
	runtime.GOMAXPROCS(gomaxprocs)
	clocked := make(chan bool)
	cunlock := make(chan bool)
	cdone := make(chan bool)
	for i := range numReaders {
		go parallelReader(fleet[i%len(fleet)], clocked, cunlock, cdone)
	}
	// Wait for all parallel RLock()s to succeed.
	for range numReaders {
		<-clocked
	}
	for range numReaders {
		cunlock <- true
	}
	// Wait for the goroutines to finish.
	for range numReaders {
		<-cdone
	}
}

func TestParallelReaders(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(-1))
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, processes := range []int{1, 4} {
			fleet := rwFleet(t, rdb, processes)
			doTestParallelReaders(fleet, 1, 4)
			doTestParallelReaders(fleet, 3, 4)
			doTestParallelReaders(fleet, 4, 2)
			doTestParallelReaders(fleet, 64, 4)
		}
	})
}

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

func TestRWMutex(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(-1))
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		fleet := rwFleet(t, rdb, 4)
		for _, other := range []*mutex.RWMutex{fleet[0], fleet[1]} { // in one process, and over two
			m := fleet[0]
			m.Lock()
			if other.TryLock() {
				t.Fatalf("TryLock succeeded with mutex locked")
			}
			if other.TryRLock() {
				t.Fatalf("TryRLock succeeded with mutex locked")
			}
			m.Unlock()

			if !other.TryLock() {
				t.Fatalf("TryLock failed with mutex unlocked")
			}
			other.Unlock()

			if !m.TryRLock() {
				t.Fatalf("TryRLock failed with mutex unlocked")
			}
			if !other.TryRLock() {
				t.Fatalf("TryRLock failed with mutex rlocked")
			}
			if other.TryLock() {
				t.Fatalf("TryLock succeeded with mutex rlocked")
			}
			m.RUnlock()
			other.RUnlock()
		}

		for _, fleet := range [][]*mutex.RWMutex{fleet[:1], fleet} {
			n := 400 / len(fleet) // sync's own has 1000, and no network
			if mini := strings.HasSuffix(t.Name(), "miniredis"); testing.Short() || mini {
				n = 8 / len(fleet) // its scripts are slow
			} else if race {
				n /= 5
			}
			HammerRWMutex(t, fleet, 1, 1, n)
			HammerRWMutex(t, fleet, 1, 3, n)
			HammerRWMutex(t, fleet, 1, 10, n)
			HammerRWMutex(t, fleet, 4, 1, n)
			HammerRWMutex(t, fleet, 4, 3, n)
			HammerRWMutex(t, fleet, 4, 10, n)
			HammerRWMutex(t, fleet, 10, 1, n)
			HammerRWMutex(t, fleet, 10, 3, n)
			HammerRWMutex(t, fleet, 10, 10, n)
			HammerRWMutex(t, fleet, 10, 5, n)
		}
	})
}

func TestRLocker(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, processes := range []int{1, 2} { // with two, readers are in another than writers
			fleet := rwFleet(t, rdb, processes)
			wl := fleet[0]
			var rl sync.Locker
			wlocked := make(chan bool, 1)
			rlocked := make(chan bool, 1)
			rl = fleet[processes-1].RLocker()
			n := 10
			go func() {
				for range n {
					rl.Lock()
					rl.Lock()
					rlocked <- true
					wl.Lock()
					wlocked <- true
				}
			}()
			for range n {
				<-rlocked
				rl.Unlock()
				select {
				case <-wlocked:
					t.Fatal("RLocker() didn't read-lock it")
				default:
				}
				rl.Unlock()
				<-wlocked
				select {
				case <-rlocked:
					t.Fatal("RLocker() didn't respect the write lock")
				default:
				}
				wl.Unlock()
			}
		}
	})
}

// TestRWMutexMisuse has sync's cases, and checks that the lock survives them.
func TestRWMutexMisuse(t *testing.T) {
	t.Parallel()
	rdb := miniClient(t)
	use := func(l sync.Locker) {
		l.Lock()
		l.Unlock() //lint:ignore SA2001 only whether it can be had counts
	}
	for name, f := range map[string]func(m *mutex.RWMutex){
		"Unlock":   func(m *mutex.RWMutex) { m.Unlock() },
		"Unlock2":  func(m *mutex.RWMutex) { m.RLock(); defer m.RUnlock(); m.Unlock() },
		"Unlock3":  func(m *mutex.RWMutex) { use(m); m.Unlock() },
		"RUnlock":  func(m *mutex.RWMutex) { m.RUnlock() },
		"RUnlock2": func(m *mutex.RWMutex) { m.Lock(); defer m.Unlock(); m.RUnlock() },
		"RUnlock3": func(m *mutex.RWMutex) { use(m.RLocker()); m.RUnlock() },
		"RLocker":  func(m *mutex.RWMutex) { m.Lock(); defer m.Unlock(); m.RLocker().Unlock() },
		// A Lease has an Unlock of its own, and so has another RWMutex for the key.
		"Lease":   func(m *mutex.RWMutex) { l := wlock(t, m); defer unlock(t, l); m.Unlock() },
		"RLease":  func(m *mutex.RWMutex) { l := rlock(t, m); defer unlock(t, l); m.RUnlock() },
		"Another": func(m *mutex.RWMutex) { m.Lock(); defer m.Unlock(); rwOf(rdb, m.TTL).Unlock() },
	} {
		m := mutex.NewRW(rdb, "key")
		want := "Unlock of unlocked RWMutex \"key\""
		mustPanic(t, want, func() { f(m) })
		if !m.TryLock() {
			t.Errorf("%s: cannot be locked thereafter", name)
		} else {
			m.Unlock()
		}
	}
}

// TestRWMutexMethods finds every method of sync's, with the same signature.
func TestRWMutexMethods(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[*mutex.RWMutex](): reflect.TypeFor[*sync.RWMutex](),
		reflect.TypeFor[*mutex.Mutex]():   reflect.TypeFor[*sync.Mutex](),
	} {
		for i := range theirs.NumMethod() {
			want := reflect.Zero(theirs).Method(i).Type()
			got, ok := ours.MethodByName(theirs.Method(i).Name)
			if !ok || reflect.Zero(ours).MethodByName(got.Name).Type() != want {
				t.Errorf("%v has no %s %v", ours, theirs.Method(i).Name, want)
			}
		}
	}
}

// TestRWMutexDropIn runs a program that was written for sync.RWMutex with a RWMutex.
func TestRWMutexDropIn(t *testing.T) {
	t.Parallel()
	type rwLocker interface {
		sync.Locker
		RLock()
		RUnlock()
		RLocker() sync.Locker
		TryLock() bool
		TryRLock() bool
	}
	count := func(mu rwLocker) (sum int) {
		var n int
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 100 {
					if i%4 == 0 {
						mu.Lock()
						n++
						mu.Unlock()
					} else {
						mu.RLock()
						_ = n
						mu.RUnlock()
					}
				}
			})
		}
		wg.Wait()
		return n
	}
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		if got, want := count(mutex.NewRW(rdb, "key")), count(new(sync.RWMutex)); got != want {
			t.Errorf("counted %d, with sync.RWMutex %d", got, want)
		}
	})
}
