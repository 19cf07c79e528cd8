//go:build unix

package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
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

func init() { workers["transfer"] = transfer }

const accounts, deposit = 6, 1000

// bank is memory that processes share outside Redis.
type bank struct {
	inside  [accounts]atomic.Int32
	clashes atomic.Int32
	holds   atomic.Int64
	account [accounts]struct {
		balance, fence int64 // guarded by the lock of the account, and by nothing else
	}
}

func openBank(path string) *bank {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	defer f.Close()
	size := int(unsafe.Sizeof(bank{}))
	must(f.Truncate(int64(size)))
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return (*bank)(unsafe.Pointer(&mem[0]))
}

// move moves money between two accounts. fence is 0 if nothing is known of it.
func (b *bank) move(from, to int, fence func(i int) int64) {
	for _, i := range []int{from, to} {
		if b.inside[i].Add(1) != 1 {
			b.clashes.Add(1)
		}
		if f := fence(i); f != 0 {
			if f <= b.account[i].fence {
				b.clashes.Add(1)
			}
			b.account[i].fence = f
		}
	}
	amount := 1 + rand.Int64N(10)
	b.account[from].balance -= amount
	b.account[to].balance += amount
	b.holds.Add(1)
	for _, i := range []int{from, to} {
		b.inside[i].Add(-1)
	}
}

// transfer is one of the processes of TestPoolTransfers.
func transfer() {
	opts, err := redis.ParseURL(os.Getenv("BANK_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	b := openBank(os.Getenv("BANK_PATH"))
	each, err := strconv.Atoi(os.Getenv("BANK_EACH"))
	must(err)
	p := mutex.NewPool(rdb, os.Getenv("BANK_PREFIX"))
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for range each {
				pair := rand.Perm(accounts)
				from, to := pair[0], pair[1]
				x, y := strconv.Itoa(from), strconv.Itoa(to)
				var l *mutex.Lease
				switch g {
				case 0:
					r := <-p.LockChan(context.Background(), x, y)
					must(r.Err)
					l = r.Lease
				case 1:
					l, err := p.TryLockContext(context.Background(), x, y)
					if errors.Is(err, mutex.ErrLocked) {
						continue
					}
					must(err)
					b.move(from, to, func(i int) int64 { return l.FenceOf(strconv.Itoa(i)) })
					must(l.Unlock())
					continue
				case 2: // one by one, in an order of its own
					x, y := min(from, to), max(from, to)
					if !p.TryLock(strconv.Itoa(x)) {
						continue
					}
					if p.TryLock(strconv.Itoa(y)) {
						b.move(from, to, func(int) int64 { return 0 })
						p.Unlock(strconv.Itoa(y))
					}
					p.Unlock(strconv.Itoa(x))
					continue
				default:
					var err error
					l, err = p.LockContext(context.Background(), x, y)
					must(err)
				}
				b.move(from, to, func(i int) int64 { return l.FenceOf(strconv.Itoa(i)) })
				must(l.Unlock())
			}
		})
	}
	wg.Wait()
}

// TestPoolTransfers moves money between accounts, each with its lock, from four
// processes, and checks in memory that they share that no two are ever inside an
// account, that its fences grow, and that no money is made or lost. That it ends
// says that there was no deadlock.
func TestPoolTransfers(t *testing.T) {
	for _, prefix := range []string{"account:", "{account}:"} { // in many slots, and in one
		t.Run(prefix, func(t *testing.T) {
			s := redistest.Start(t)
			path := filepath.Join(t.TempDir(), "bank")
			b := openBank(path)
			for i := range b.account {
				b.account[i].balance = deposit
			}
			const processes, each = 4, 150
			var fleet []*redistest.Worker
			for range processes {
				fleet = append(fleet, redistest.Spawn(t, "transfer",
					"BANK_URL="+s.URL(), "BANK_PATH="+path, "BANK_PREFIX="+prefix, "BANK_EACH="+strconv.Itoa(each)))
			}
			for _, w := range fleet {
				if err := w.Wait(); err != nil {
					t.Errorf("a worker: %v", err)
				}
			}
			sum := int64(0)
			for i := range b.account {
				sum += b.account[i].balance
			}
			t.Logf("%d holds", b.holds.Load())
			if b.clashes.Load() != 0 || sum != accounts*deposit || b.holds.Load() < processes*each*4 {
				t.Errorf("%d clashes, a sum of %d, %d holds", b.clashes.Load(), sum, b.holds.Load())
			}
			rests(t, s, 0)
		})
	}
}
