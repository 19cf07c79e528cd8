//go:build unix

package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
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

func init() { workers["locks"] = locksProcess }

// shared is memory of several processes outside Redis. It is independent of the locks.
type shared struct {
	records [2]struct { // the first is guarded by mutexes, the second by a reader/writer lock
		readers, writers atomic.Int32
		value, fence     int64 // the number of writes, and the last writer's fence; guarded only by the lock
	}
	violations, together atomic.Int64
	written              [2]atomic.Int64
}

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

// use reads or writes a record. The fence is 0 if it is unknown.
func (s *shared) use(i int, read bool, fence int64) {
	p := &s.records[i]
	ok := fence == 0 || fence > p.fence
	if read {
		if p.readers.Add(1) > 1 {
			s.together.Add(1)
		}
		value := p.value
		runtime.Gosched()
		ok = ok && p.writers.Load() == 0 && p.value == value
		p.readers.Add(-1)
	} else {
		ok = ok && p.writers.Add(1) == 1 && p.readers.Load() == 0
		p.value, p.fence = p.value+1, max(p.fence, fence)
		s.written[i].Add(1)
		p.writers.Add(-1)
	}
	if !ok {
		s.violations.Add(1)
	}
}

// locksProcess uses all kinds of locks many times, with all methods. It cancels waits at any moment.
func locksProcess() {
	opts, err := redis.ParseURL(os.Getenv("LOCKS_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	s := openShared[shared](os.Getenv("LOCKS_SHARED"))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			var unread []<-chan mutex.Result
			for range 150 {
				if c := useLock(rdb, s); c != nil {
					unread = append(unread, c)
				}
			}
			for _, c := range unread {
				if r := <-c; r.Err == nil { // its ctx has just ended
					must(r.Lease.Unlock())
				}
			}
		})
	}
	wg.Wait()
}

// useLock uses a lock once, with any method. It returns the channel of a wait that was canceled.
func useLock(rdb *redis.Client, s *shared) (unread <-chan mutex.Result) {
	k, record, key := kinds[rand.IntN(len(kinds))], 0, "mutex"
	if k.name == "RWMutex" || k.name == "reader" {
		record, key = 1, "rwmutex"
	}
	l := k.of(rdb, key, longTTL)
	use := func(fence int64) { s.use(record, k.name == "reader", fence) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var r mutex.Result
	switch rand.IntN(8) {
	case 0:
		l.lock()
		use(0)
		l.unlock()
		return nil
	case 1:
		if l.tryLock() {
			use(0)
			l.unlock()
		}
		return nil
	case 2:
		r.Lease, r.Err = l.lockContext(ctx)
	case 3:
		r.Lease, r.Err = l.tryLockContext(ctx)
	case 4:
		r = <-l.lockChan(ctx)
	case 5: // perhaps canceled during the receive
		time.AfterFunc(rand.N(2*time.Millisecond), cancel)
		r = <-l.lockChan(ctx)
	case 6: // perhaps granted before it is canceled
		c := l.lockChan(ctx)
		time.Sleep(rand.N(20 * time.Millisecond))
		cancel()
		r = <-c
	case 7:
		unread = l.lockChan(ctx)
		time.Sleep(rand.N(2 * time.Millisecond))
		return unread
	}
	if errors.Is(r.Err, mutex.ErrLocked) || ctx.Err() != nil && errors.Is(r.Err, context.Canceled) {
		return nil
	}
	must(r.Err)
	use(r.Lease.FenceOf(key))
	must(r.Lease.Unlock())
	return nil
}

// Four processes use all kinds of locks with all methods. Writers exclude all others, no write is lost,
// fences grow, and readers overlap. No process waits forever: all end. Waits that are canceled at any moment, or
// not received, leave nothing in Redis.
func TestLocksAcrossProcesses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	path := filepath.Join(t.TempDir(), "shared")
	s := openShared[shared](path)
	var all []*redistest.Worker
	for range 4 {
		all = append(all, redistest.Spawn(t, "locks", "LOCKS_URL="+server.URL(), "LOCKS_SHARED="+path))
	}
	for _, w := range all {
		if err := w.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	}
	for i := range s.records {
		if n := s.written[i].Load(); n < 100 || s.records[i].value != n {
			t.Errorf("%d of %d writes to record %d", s.records[i].value, n, i)
		}
	}
	if s.violations.Load() != 0 || s.together.Load() == 0 {
		t.Errorf("%d violations, and %d concurrent readers", s.violations.Load(), s.together.Load())
	}
	awaitEmpty(t, server.Client(t))
}
