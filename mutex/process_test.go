//go:build unix

package mutex_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["hammer"] = hammer }

// arena is memory that processes share outside Redis: what it says of who is
// inside does not depend on what the lock believes.
type arena struct {
	inside atomic.Int32
	clash  atomic.Int32
	total  int64 // guarded by the lock under test, and by nothing else
	fence  int64 // likewise
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

// hammer is one of the processes of TestMutexAcrossProcesses.
func hammer() {
	opts, err := redis.ParseURL(os.Getenv("HAMMER_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	a := openArena(os.Getenv("HAMMER_ARENA"))
	each, err := strconv.Atoi(os.Getenv("HAMMER_HOLDS"))
	must(err)
	m := mutex.New(rdb, "key")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range each {
				var fence int64
				unlock := m.Unlock
				switch {
				case g == 0 && i%2 == 0:
					if !m.TryLock() {
						continue
					}
				case g == 1:
					l, err := m.LockContext(context.Background())
					must(err)
					fence, unlock = l.Fence(), func() { must(l.Unlock()) }
				case g == 2:
					r := <-m.LockChan(context.Background())
					must(r.Err)
					fence, unlock = r.Lease.Fence(), func() { must(r.Lease.Unlock()) }
				default:
					m.Lock()
				}
				if a.inside.Add(1) != 1 {
					a.clash.Add(1)
				}
				if a.total++; fence != 0 {
					if fence <= a.fence {
						a.clash.Add(1)
					}
					a.fence = fence
				}
				a.inside.Add(-1)
				fmt.Println(g)
				unlock()
			}
		})
	}
	wg.Wait()
}

// TestMutexAcrossProcesses hammers one key from four processes with all the ways
// to lock, and checks in memory that they share that no two are ever inside, that
// nothing is lost of a sum that only the lock guards, and that fences grow.
func TestMutexAcrossProcesses(t *testing.T) {
	s := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "arena")
	a := openArena(path)
	const processes, each = 4, 400
	var fleet []*redistest.Worker
	for range processes {
		fleet = append(fleet, redistest.Spawn(t, "hammer", "HAMMER_URL="+s.URL(), "HAMMER_ARENA="+path, "HAMMER_HOLDS="+strconv.Itoa(each)))
	}
	var holds atomic.Int64
	var readers sync.WaitGroup
	for _, w := range fleet {
		readers.Go(func() {
			for line := range w.Lines() {
				if strings.TrimSpace(line) != "" {
					holds.Add(1)
				}
			}
		})
	}
	for _, w := range fleet {
		if err := w.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	}
	readers.Wait()
	if a.clash.Load() != 0 || a.total != holds.Load() || a.total < processes*each*7 {
		t.Errorf("%d clashes, a sum of %d after %d holds", a.clash.Load(), a.total, holds.Load())
	}
	redistest.Eventually(t, 5e9, func() bool { return strings.Join(s.Keys(t), " ") == "baton:{key}:fence" }, "keys stay: %v", s.Keys(t))
}
