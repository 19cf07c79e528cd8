//go:build unix

package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["locks"] = locksProcess }

// shared is memory of several processes outside Redis. It is independent of the locks.
type shared struct {
	records [4]struct { // three accounts with Mutexes, and a book with a RWMutex
		readers, writers atomic.Int32
		value            int64        // guarded only by the lock
		written          int64        // the fence of the last writer, guarded only by the lock
		seen             atomic.Int64 // the greatest fence
	}
	violations, holds, together, written atomic.Int64
}

const accounts, book = 3, 3 // the number of accounts, and the index of the book

func openShared[T any](path string) *T {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	defer f.Close()
	size := int(unsafe.Sizeof(*new(T)))
	must(f.Truncate(int64(size)))
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return (*T)(unsafe.Pointer(&mem[0]))
}

func (s *shared) check(ok bool) {
	if !ok {
		s.violations.Add(1)
	}
}

// see checks and records a fence, unless it is 0: unknown.
func (s *shared) see(i int, fence int64, write bool) {
	p := &s.records[i]
	if fence == 0 {
		return
	}
	s.check(fence > p.written && (!write || fence > p.seen.Load()))
	if write {
		p.written = fence
	}
	for most := p.seen.Load(); fence > most && !p.seen.CompareAndSwap(most, fence); most = p.seen.Load() {
	}
}

func (s *shared) write(i int, add, fence int64) {
	p := &s.records[i]
	s.check(p.writers.Add(1) == 1 && p.readers.Load() == 0)
	s.see(i, fence, true)
	p.value += add
	s.check(p.readers.Load() == 0)
	p.writers.Add(-1)
}

func (s *shared) read(i int, fence int64) {
	p := &s.records[i]
	if p.readers.Add(1) > 1 {
		s.together.Add(1)
	}
	value := p.value
	s.see(i, fence, false)
	runtime.Gosched()
	s.check(p.writers.Load() == 0 && p.value == value)
	p.readers.Add(-1)
}

// locksProcess uses locks many times, with all methods.
func locksProcess() {
	opts, err := redis.ParseURL(os.Getenv("LOCKS_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	s := openShared[shared](os.Getenv("LOCKS_SHARED"))
	each, err := strconv.Atoi(os.Getenv("LOCKS_EACH"))
	must(err)
	ctx := context.Background()
	prefix := os.Getenv("LOCKS_PREFIX")
	pool, rw := mutex.NewPool(rdb, prefix), mutex.NewRW(rdb, "book")
	one := func(l locker) func(use func(fence int64)) { // holds l with a random method
		return func(use func(fence int64)) {
			var h *mutex.Lease
			var err error
			switch rand.IntN(5) {
			case 0:
				l.lock()
				use(0)
				l.unlock()
				return
			case 1:
				if l.tryLock() {
					use(0)
					l.unlock()
				}
				return
			case 2:
				h, err = l.lockContext(ctx)
			case 3:
				h, err = l.tryLockContext(ctx)
				if errors.Is(err, mutex.ErrLocked) {
					return
				}
			case 4:
				r := <-l.lockChan(ctx)
				h, err = r.Lease, r.Err
			}
			must(err)
			use(h.Fence())
			must(h.Unlock())
		}
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range each {
				from, to := rand.IntN(accounts), rand.IntN(accounts)
				x, y := strconv.Itoa(from), strconv.Itoa(to)
				switch rand.IntN(6) {
				case 0:
					one(kinds[0].of(rdb, prefix+x, longTTL))(func(fence int64) { s.write(from, 0, fence) })
				case 1, 2:
					if from == to {
						continue
					}
					l, err := pool.LockContext(ctx, x, y)
					must(err)
					s.write(from, -1, l.FenceOf(x))
					s.write(to, 1, l.FenceOf(y))
					must(l.Unlock())
				case 3:
					one(locker{rw.Lock, rw.Unlock, rw.TryLock, rw.LockContext, rw.TryLockContext, rw.LockChan, nil, nil})(func(fence int64) {
						s.write(book, 1, fence)
						s.written.Add(1)
					})
				default:
					one(locker{rw.RLock, rw.RUnlock, rw.TryRLock, rw.RLockContext, rw.TryRLockContext, rw.RLockChan, nil, nil})(func(fence int64) { s.read(book, fence) })
				}
				s.holds.Add(1)
			}
		})
	}
	wg.Wait()
}

// Four processes use a Mutex, a Pool and a RWMutex with all methods. Writers exclude all others, no
// write is lost, fences grow, and readers overlap. No process waits forever: all end.
func TestLocksAcrossProcesses(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"account:", "{account}:"} { // in many slots, and in one
		t.Run(prefix, func(t *testing.T) {
			server := redistest.Start(t)
			path := filepath.Join(t.TempDir(), "shared")
			s := openShared[shared](path)
			const processes, each = 4, 150
			var all []*redistest.Worker
			for range processes {
				all = append(all, redistest.Spawn(t, "locks", "LOCKS_URL="+server.URL(), "LOCKS_SHARED="+path, "LOCKS_PREFIX="+prefix, "LOCKS_EACH="+strconv.Itoa(each)))
			}
			for _, w := range all {
				if err := w.Wait(); err != nil {
					t.Errorf("a worker: %v", err)
				}
			}
			sum := int64(0)
			for i := range accounts {
				sum += s.records[i].value
			}
			if s.violations.Load() != 0 || sum != 0 || s.records[book].value != s.written.Load() || s.together.Load() == 0 || s.holds.Load() < processes*each*3 {
				t.Errorf("%d violations, a sum of %d, %d of %d writes, %d concurrent readers, %d holds", s.violations.Load(), sum, s.records[book].value, s.written.Load(), s.together.Load(), s.holds.Load())
			}
			awaitEmpty(t, server.Client(t))
		})
	}
}
