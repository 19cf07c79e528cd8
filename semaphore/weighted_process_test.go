//go:build unix

package semaphore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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
	workers["weighted-hammer"] = hammerProcess
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

// hammerProcess is one of the processes of TestWeightedAcrossProcesses.
func hammerProcess() {
	s, a, size, done := process()
	defer done()
	ctx := context.Background()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 120 {
				n := rand.Int64N(size) + 1
				fence, back := int64(0), func() { s.Release(n) }
				take := func(l *semaphore.Lease, err error) {
					must(err)
					fence, back = l.Fence(), func() { must(l.Release()) }
				}
				switch {
				case g == 0 && i%2 == 0:
					if !s.TryAcquire(n) {
						continue
					}
				case g == 1:
					take(s.AcquireLease(ctx, n))
				case g == 2:
					r := <-s.AcquireChan(ctx, n)
					take(r.Lease, r.Err)
				case g == 3 && i%4 == 0: // gives up, perhaps
					short, cancel := context.WithTimeout(ctx, rand.N(3*time.Millisecond))
					err := s.Acquire(short, n)
					cancel()
					if err != nil {
						continue
					}
				default:
					must(s.Acquire(ctx, n))
				}
				leave := a.enter(n, size)
				if n == size {
					a.total++
				}
				fmt.Println(fence, n)
				leave()
				if fence == 0 && n > 1 { // in two portions
					s.Release(1)
					n--
				}
				back()
			}
		})
	}
	wg.Wait()
}

// TestWeightedAcrossProcesses hammers one key from four processes in all the ways
// to acquire, and checks in memory that they share that never too many are inside,
// that nothing is lost of a sum that only all permits guard, and that fences are
// unique.
func TestWeightedAcrossProcesses(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "arena")
	a := openArena(path)
	const size = 6
	var fleet []*redistest.Worker
	for range 4 {
		fleet = append(fleet, spawn(t, s, "weighted-hammer", path, size, ample))
	}
	var mu sync.Mutex
	fences := map[int64]bool{}
	var holds, whole int64
	var readers sync.WaitGroup
	for _, w := range fleet {
		readers.Go(func() {
			for line := range w.Lines() {
				var fence, n int64
				if _, err := fmt.Sscan(line, &fence, &n); err != nil {
					continue
				}
				mu.Lock()
				if fence != 0 && fences[fence] {
					t.Errorf("the fence %d was given twice", fence)
				}
				fences[fence] = true
				if holds++; n == size {
					whole++
				}
				mu.Unlock()
			}
		})
	}
	for _, w := range fleet {
		if err := w.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	}
	readers.Wait()
	t.Logf("%d holds, %d of all permits; %d permits were in use at most", holds, whole, a.most.Load())
	if a.clash.Load() != 0 || a.inside.Load() != 0 || a.total != whole || holds < 4*8*80 {
		t.Errorf("%d clashes, %d inside, a sum of %d after %d holds of all, %d in all", a.clash.Load(), a.inside.Load(), a.total, whole, holds)
	}
	rests(t, s.Client(t), 0)
}
