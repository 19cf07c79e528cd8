//go:build unix

package mutex_test

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
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["library"] = library }

// A shelf is memory that processes share outside Redis: what it says of who is
// inside does not depend on what the lock believes.
type shelf struct {
	readers, writers atomic.Int32
	together         atomic.Int32 // the most readers that were seen at once
	clashes          atomic.Int32
	reads, writes    atomic.Int64
	book             [64]int64    // all the same; guarded by the lock under test, and by nothing else
	written          int64        // fence of the last writer; likewise
	seen             atomic.Int64 // the highest fence of all
}

func openShelf(path string) *shelf {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	defer f.Close()
	size := int(unsafe.Sizeof(shelf{}))
	must(f.Truncate(int64(size)))
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return (*shelf)(unsafe.Pointer(&mem[0]))
}

// read is what a reader does. fence is 0 if nothing is known of it.
func (s *shelf) read(fence int64) {
	n := s.readers.Add(1)
	for most := s.together.Load(); n > most && !s.together.CompareAndSwap(most, n); most = s.together.Load() {
	}
	s.check(s.writers.Load() == 0)
	for _, n := range s.book {
		s.check(n == s.book[0])
	}
	if fence != 0 {
		s.check(fence > s.written)
		s.see(fence)
	}
	if rand.IntN(8) == 0 { // for others to be seen, who are here too
		time.Sleep(rand.N(100 * time.Microsecond))
	}
	s.check(s.writers.Load() == 0)
	s.reads.Add(1)
	s.readers.Add(-1)
}

// write is what a writer does.
func (s *shelf) write(fence int64) {
	s.check(s.writers.Add(1) == 1 && s.readers.Load() == 0)
	for i := range s.book {
		s.book[i]++
	}
	if fence != 0 {
		s.check(fence > s.seen.Load())
		s.see(fence)
		s.written = fence
	}
	s.check(s.readers.Load() == 0)
	s.writes.Add(1)
	s.writers.Add(-1)
}

func (s *shelf) see(fence int64) {
	for most := s.seen.Load(); fence > most && !s.seen.CompareAndSwap(most, fence); most = s.seen.Load() {
	}
}

func (s *shelf) check(ok bool) {
	if !ok {
		s.clashes.Add(1)
	}
}

// library is one of the processes of TestRWMutexAcrossProcesses.
func library() {
	opts, err := redis.ParseURL(os.Getenv("LIBRARY_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	s := openShelf(os.Getenv("LIBRARY_SHELF"))
	each, err := strconv.Atoi(os.Getenv("LIBRARY_EACH"))
	must(err)
	m := mutex.NewRW(rdb, "key")
	ctx := context.Background()
	received := func(c <-chan mutex.Result) (*mutex.Lease, error) {
		r := <-c
		return r.Lease, r.Err
	}
	leased := func(use func(fence int64)) func(l *mutex.Lease, err error) {
		return func(l *mutex.Lease, err error) {
			must(err)
			use(l.Fence())
			must(l.Unlock())
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range each {
				switch rand.IntN(20) {
				case 0:
					m.Lock()
					s.write(0)
					m.Unlock()
				case 1:
					leased(s.write)(m.LockContext(ctx))
				case 2:
					leased(s.write)(received(m.LockChan(ctx)))
				case 3:
					if m.TryLock() {
						s.write(0)
						m.Unlock()
					}
				case 4, 5:
					if m.TryRLock() {
						s.read(0)
						m.RUnlock()
					}
				case 6, 7:
					leased(s.read)(received(m.RLockChan(ctx)))
				case 8, 9:
					leased(s.read)(m.RLockContext(ctx))
				default:
					m.RLock()
					s.read(0)
					m.RUnlock()
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("done")
}

// TestRWMutexAcrossProcesses has four processes read and write one key in all the
// ways to lock it, and checks in memory that they share that a writer is always
// alone, that nothing is lost of what only the lock guards, that readers are
// together, and that fences order every writer against all others.
func TestRWMutexAcrossProcesses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "shelf")
	s := openShelf(path)
	const processes = 4
	each := 200
	if testing.Short() {
		each = 40
	}
	var fleet []*redistest.Worker
	for range processes {
		fleet = append(fleet, redistest.Spawn(t, "library", "LIBRARY_URL="+server.URL(), "LIBRARY_SHELF="+path, "LIBRARY_EACH="+strconv.Itoa(each)))
	}
	for _, w := range fleet {
		if err := w.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	}
	reads, writes := s.reads.Load(), s.writes.Load()
	t.Logf("%d reads, %d writes, %d readers at once", reads, writes, s.together.Load())
	if s.clashes.Load() != 0 || s.book[0] != writes || s.book[63] != writes {
		t.Errorf("%d clashes, a count of %d after %d writes", s.clashes.Load(), s.book[0], writes)
	}
	if all := int64(processes * 8 * each); reads < all/2 || writes < all/20 || s.together.Load() < 2 {
		t.Errorf("%d reads, %d writes, %d readers at once", reads, writes, s.together.Load())
	}
	rwRests(t, server, 0)
}
