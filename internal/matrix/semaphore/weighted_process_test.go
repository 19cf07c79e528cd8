//go:build unix

package semaphore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

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
	opts, err := redis.ParseURL(os.Getenv("SEM_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	size, err = strconv.ParseInt(os.Getenv("SEM_SIZE"), 10, 64)
	must(err)
	ttl, err := time.ParseDuration(os.Getenv("SEM_TTL"))
	must(err)
	return weightedOf(rdb, size, ttl), openArena(os.Getenv("SEM_ARENA")), size, func() { rdb.Close() }
}

func spawn(t *testing.T, s *redistest.Server, name, arena string, size int64, ttl time.Duration, env ...string) *redistest.Worker {
	t.Helper()
	return redistest.Spawn(t, name, append(env, "SEM_URL="+s.URL(), "SEM_ARENA="+arena, "SEM_SIZE="+strconv.FormatInt(size, 10), "SEM_TTL="+ttl.String())...)
}

// says waits for a line of the worker that begins with the word, and returns the
// rest.
func says(t *testing.T, w *redistest.Worker, word string) string {
	t.Helper()
	select {
	case line := <-w.Lines():
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			t.Fatalf("the worker says %q, not %q", line, word)
		}
		return strings.TrimSpace(rest)
	case <-time.After(redistest.Patience):
		t.Fatalf("the worker does not say %q", word)
		return ""
	}
}

// crowdProcess is one that holds some permits and has many waiters, whose holds
// last until it is told to go on.
func crowdProcess() {
	s, a, size, done := process()
	defer done()
	held, err := strconv.Atoi(os.Getenv("SEM_HELD"))
	must(err)
	waiters, err := strconv.Atoi(os.Getenv("SEM_WAITERS"))
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

// holderProcess is one that holds permits, says so, and then does what it is told.
func holderProcess() {
	s, a, size, done := process()
	defer done()
	ctx := context.Background()
	l, err := s.AcquireLease(ctx, 2)
	must(err)
	must(s.Acquire(ctx, 1))
	leave := a.enter(3, size)
	fmt.Println("held", l.Fence())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "spin":
			last := time.Now()
			for fmt.Println("spinning"); ; {
				now := time.Now()
				err := l.Err()
				if now.Sub(last) > s.TTL {
					leave()
					fmt.Println("first", errors.Is(err, semaphore.ErrLost))
					break
				}
				last = now
			}
		case "release":
			err := l.Release()
			s.Release(1)
			fmt.Println("released", errors.Is(err, semaphore.ErrLost))
		}
	}
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
	victim := spawn(t, s, "weighted-holder", path, size, ttl)
	says(t, victim, "held")
	var crowds []*redistest.Worker
	for _, env := range [][]string{{"SEM_HELD=7", "SEM_WAITERS=10"}, {"SEM_HELD=0", "SEM_WAITERS=20"}, {"SEM_HELD=0", "SEM_WAITERS=20"}} {
		w := spawn(t, s, "weighted-crowd", path, size, ttl, env...)
		says(t, w, "ready")
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
	redistest.Eventually(t, ttl+leeway, func() bool { return a.inside.Load() == size }, "all are in use again")
	bounded(t, "to use all again", start, ttl)
	if took := time.Since(start); took < ttl/2 {
		t.Errorf("the permits came back after %v, its TTL is %v", took, ttl)
	}
	for _, w := range crowds {
		w.Send("end")
	}
	for _, w := range crowds {
		says(t, w, "done")
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

// TestFaultWeightedStop stops a holder for longer than its TTL. When it goes on,
// the first thing that it asks its lease tells of the loss, before any timer had a
// chance; what it then releases is not another's.
func TestFaultWeightedStop(t *testing.T) {
	t.Parallel()
	const size, ttl = 10, 500 * time.Millisecond
	s := redistest.Start(t)
	rdb := s.Client(t)
	w := spawn(t, s, "weighted-holder", filepath.Join(t.TempDir(), "arena"), size, ttl, "GOMAXPROCS=1")
	fence, err := strconv.ParseInt(says(t, w, "held"), 10, 64)
	must(err)
	next := queued(t, rdb, weightedOf(rdb, size, ample), size, 1)
	w.Send("spin")
	says(t, w, "spinning")
	w.Pause()
	n := receive(t, "to wait for the end of the hold", next, ttl)
	if n.Fence() <= fence {
		t.Errorf("fence %d after %d", n.Fence(), fence)
	}
	keeps(t, n, ttl)
	w.Continue()
	if says(t, w, "first") != "true" {
		t.Error("the first Err was not ErrLost")
	}
	w.Send("release")
	if says(t, w, "released") != "true" {
		t.Error("Release did not return ErrLost")
	}
	weighs(t, rdb, "a late release", size)
	keeps(t, n, ttl/2)
	release(t, n)
	rests(t, rdb, 0)
}
