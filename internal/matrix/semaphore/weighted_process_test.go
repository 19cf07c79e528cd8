//go:build unix

package semaphore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func init() {
	workers["weighted-holder"] = holderProcess
	workers["weighted-crowd"] = crowdProcess
}

// arena is memory that processes share outside Redis: what it says of how many are
// inside does not depend on what the semaphore believes.
type arena struct {
	inside, most, clash atomic.Int64
	total               int64 // guarded by all permits together, and by nothing else
}

func openArena(path string) *arena {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	defer f.Close()
	size := int(unsafe.Sizeof(arena{}))
	must(f.Truncate(int64(size)))
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return (*arena)(unsafe.Pointer(&mem[0]))
}

// enter counts a holder of n permits of size in, and returns what counts it out.
func (a *arena) enter(n, size int64) (leave func()) {
	now := a.inside.Add(n)
	if now > size {
		a.clash.Add(1)
	}
	for old := a.most.Load(); now > old && !a.most.CompareAndSwap(old, now); old = a.most.Load() {
	}
	return func() { a.inside.Add(-n) }
}

// process is what a worker is told by its environment.
func process() (s *semaphore.Weighted, a *arena, size int64, done func()) {
	rdb, ttl := kit.FromEnv()
	size, err := strconv.ParseInt(os.Getenv("SIZE"), 10, 64)
	must(err)
	return weightedOf(rdb, size, ttl), openArena(os.Getenv("ARENA")), size, func() { rdb.Close() }
}

// crowdProcess is one that holds some permits and has many waiters, whose holds
// last until it is told to go on.
func crowdProcess() {
	s, a, size, done := process()
	defer done()
	held, err := strconv.Atoi(os.Getenv("HELD"))
	must(err)
	waiters, err := strconv.Atoi(os.Getenv("WAITERS"))
	must(err)
	ctx := context.Background()
	end := make(chan struct{})
	var wg, inside sync.WaitGroup
	inside.Add(held)
	hold := func(taken func()) {
		must(s.Acquire(ctx, 1))
		leave := a.enter(1, size)
		taken()
		<-end
		leave()
		s.Release(1)
	}
	for range held {
		wg.Go(func() { hold(inside.Done) })
	}
	inside.Wait()
	for range waiters {
		wg.Go(func() { hold(func() {}) })
	}
	fmt.Println("ready")
	bufio.NewScanner(os.Stdin).Scan()
	close(end)
	wg.Wait()
	fmt.Println("done")
}

// holderProcess is one that holds 3 permits, in both styles.
func holderProcess() {
	s, a, size, _ := process()
	l, err := s.AcquireLease(context.Background(), 2)
	must(err)
	must(s.Acquire(context.Background(), 1))
	a.enter(3, size)
	kit.Serve(l, l.Release, s.TTL)
}

// TestFaultWeightedKill kills a process that holds 3 permits of 10 while another
// holds 7 and 50 wait in three: within one TTL all 10 are in use again, and never
// 11 at once, as seen in memory that they share.
func TestFaultWeightedKill(t *testing.T) {
	t.Parallel()
	const size, ttl = 10, 1500 * time.Millisecond
	s := redistest.Start(t)
	rdb := s.Client(t)
	path := filepath.Join(t.TempDir(), "arena")
	a := openArena(path)
	spawn := func(name string, env ...string) kit.Worker {
		return kit.Spawn(t, s, name, ttl, append(env, "ARENA="+path, "SIZE="+strconv.Itoa(size))...)
	}
	victim := spawn("weighted-holder")
	victim.Held()
	var crowds []kit.Worker
	for _, env := range [][]string{{"HELD=7", "WAITERS=10"}, {"HELD=0", "WAITERS=20"}, {"HELD=0", "WAITERS=20"}} {
		w := spawn("weighted-crowd", env...)
		w.Says("ready")
		crowds = append(crowds, w)
	}
	awaitQueue(t, rdb, 3)
	awaitRenewal(t, weightedOf(rdb, size, ttl), 3)
	if n := a.inside.Load(); n != size {
		t.Fatalf("%d permits are in use before", n)
	}
	victim.Kill()
	a.inside.Add(-3) // the dead use nothing
	start := time.Now()
	redistest.Eventually(t, ttl+kit.Slack, func() bool { return a.inside.Load() == size }, "all are in use again")
	bounded(t, "to use all again", start, ttl)
	if took := time.Since(start); took < ttl/2 {
		t.Errorf("the permits came back after %v, its TTL is %v", took, ttl)
	}
	for _, w := range crowds {
		w.Send("end")
	}
	for _, w := range crowds {
		w.Says("done")
	}
	if a.clash.Load() != 0 || a.most.Load() != size || a.inside.Load() != 0 {
		t.Errorf("%d clashes, %d permits in use at most, %d at the end", a.clash.Load(), a.most.Load(), a.inside.Load())
	}
	rests(t, rdb, 0)
}

// awaitRenewal waits until the process that holds so many permits has renewed them.
func awaitRenewal(t *testing.T, s *semaphore.Weighted, permits int64) {
	t.Helper()
	least := s.TTL
	redistest.Eventually(t, s.TTL, func() bool {
		status, err := s.Inspect(t.Context())
		for _, h := range status.Holders {
			if err == nil && h.Permits == permits {
				if h.Remaining > least {
					return true
				}
				least = h.Remaining
			}
		}
		return false
	}, "the hold of %d is renewed", permits)
}
