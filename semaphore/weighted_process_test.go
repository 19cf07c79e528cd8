//go:build unix

package semaphore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	inside, clash atomic.Int64
	total         int64 // guarded by all permits together, and by nothing else
}

const hammered = 6 // permits

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
	if a.inside.Add(n) > size {
		a.clash.Add(1)
	}
	return func() { a.inside.Add(-n) }
}

// hammerProcess is one of the processes of TestWeightedAcrossProcesses.
func hammerProcess() {
	opts, err := redis.ParseURL(os.Getenv("SEM_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	const size = hammered
	s, a := weightedOf(rdb, size, ample), openArena(os.Getenv("SEM_ARENA"))
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

// Four processes acquire in all ways: never too many are inside, nothing is lost of what only all
// permits guard, and fences are unique.
func TestWeightedAcrossProcesses(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "arena")
	a := openArena(path)
	const size = hammered
	var fleet []*redistest.Worker
	for range 4 {
		fleet = append(fleet, redistest.Spawn(t, "weighted-hammer", "SEM_URL="+s.URL(), "SEM_ARENA="+path))
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
	if a.clash.Load() != 0 || a.inside.Load() != 0 || a.total != whole || holds < 4*8*80 {
		t.Errorf("%d clashes, %d inside, a sum of %d after %d holds of all, %d in all", a.clash.Load(), a.inside.Load(), a.total, whole, holds)
	}
	rests(t, s.Client(t))
}
