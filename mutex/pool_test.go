package mutex_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// bare checks that nothing is left in Redis but fences.
func bare(t *testing.T, rdb *redis.Client) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool {
		for _, key := range rdb.Keys(t.Context(), "*").Val() {
			if !strings.HasPrefix(key, "baton:{") || !strings.Contains(key, "}:fence") {
				return false
			}
		}
		return true
	}, "a key stays")
}

func TestPool(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := mutex.NewPool(rdb, "account:")
		p.Lock("a")
		p.Lock("b") // another lock
		if p.TryLock("a") {
			t.Error("a is locked twice")
		}
		if mutex.New(anotherClient(t, rdb), "account:a").TryLock() {
			t.Error("a Mutex of the same key is locked, too")
		}
		p.Unlock("a")
		if !p.TryLock("a") {
			t.Error("a is not free after Unlock")
		}
		l, err := mutex.NewPool(rdb, "").TryLockContext(t.Context(), "account:a")
		if l != nil || !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a pool with another prefix got %v, %v", l, err)
		}
		p.Unlock("a")
		p.Unlock("b")
		if n := p.Entries(); n != 0 {
			t.Errorf("%d keys stay in memory", n)
		}
		bare(t, rdb)
	})
}

func TestPoolMisuse(t *testing.T) {
	rdb := miniClient(t)
	p := mutex.NewPool(rdb, "p:")
	mustPanic(t, "unlock of unlocked", func() { p.Unlock("a") })
	p.Lock("a")
	p.Unlock("a")
	mustPanic(t, `unlock of unlocked mutex "p:a"`, func() { p.Unlock("a") })
	l, err := p.LockContext(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	mustPanic(t, "unlock of unlocked", func() { p.Unlock("a") }) // that lease is not its
	unlock(t, l)
	mustPanic(t, "the key is empty", func() { p.Lock("") })
	mustPanic(t, "the key is empty", func() { p.TryLock("") })
	mustPanic(t, "the library's own", func() { mutex.NewPool(rdb, "baton:").Lock("{a}:queue") })
	mustPanic(t, "nil", func() { mutex.NewPool(nil, "").Lock("a") })
	mustPanic(t, "not made by NewPool", func() { new(mutex.Pool).Lock("a") })
	rdb.LPush(t.Context(), "p:list", "x")
	mustPanic(t, "WRONGTYPE", func() { p.Lock("list") })
	mustPanic(t, "WRONGTYPE", func() { p.TryLock("list") })
	p.TTL = time.Microsecond
	mustPanic(t, "TTL", func() { p.Lock("a") })
	if n := p.Entries(); n != 0 {
		t.Errorf("%d keys stay in memory", n)
	}
}

// TestPoolLateUnlock loses the hold of a goroutine that is inside: the next waits
// for its Unlock, which then ends no hold but its own.
func TestPoolLateUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "")
		p.Lock("key")
		rdb.Set(t.Context(), "key", "foreign", p.TTL)
		time.Sleep(p.TTL + time.Second) // lost, and free
		if p.TryLock("key") {
			t.Fatal("two are inside")
		}
		entered := make(chan struct{})
		go func() {
			p.Lock("key")
			close(entered)
		}()
		time.Sleep(time.Second)
		select {
		case <-entered:
			t.Fatal("two are inside")
		default:
		}
		p.Unlock("key") // late
		<-entered
		if mutex.New(bubbleSibling(t, rdb), "key").TryLock() {
			t.Error("a late Unlock has ended another hold")
		}
		p.Unlock("key")
		if n := p.Entries(); n != 0 {
			t.Errorf("%d keys stay in memory", n)
		}
	})
}

// TestPoolHammer locks few keys from many goroutines in all ways there are.
func TestPoolHammer(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := mutex.NewPool(rdb, "")
		const keys, goroutines, each = 3, 12, 150
		var sums [keys]int // each guarded by its key
		var counts [keys]int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range each {
					i, j := rand.IntN(keys), rand.IntN(keys)
					a, b := fmt.Sprint(i), fmt.Sprint(j)
					switch rand.IntN(4) {
					case 0:
						p.Lock(a)
						sums[i]++
						p.Unlock(a)
						j = i
					case 1:
						if !p.TryLock(a) {
							continue
						}
						sums[i]++
						p.Unlock(a)
						j = i
					case 2:
						l, err := p.LockContext(t.Context(), a, b)
						if err != nil {
							t.Error(err)
							return
						}
						sums[i]++
						if i != j {
							sums[j]++
						}
						unlock(t, l)
					case 3:
						l, err := p.TryLockContext(t.Context(), a, b)
						if errors.Is(err, mutex.ErrLocked) {
							continue
						} else if err != nil {
							t.Error(err)
							return
						}
						sums[i]++
						if i != j {
							sums[j]++
						}
						unlock(t, l)
					}
					mu.Lock()
					counts[i]++
					if i != j {
						counts[j]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if sums != counts {
			t.Errorf("%v after %v holds", sums, counts)
		}
		if n := p.Entries(); n != 0 {
			t.Errorf("%d keys stay in memory", n)
		}
		bare(t, rdb)
	})
}

// TestPoolKeyNames locks keys of all shapes, alone and together.
func TestPoolKeyNames(t *testing.T) {
	names := []string{"key", "{tag}key", "a}b", "{}", "}{", "a{b", "{{a}}", "two words", "line\nline", "nul\x00", "nul\x00x", "ключ", "{baton:{"}
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, prefix := range []string{"", "p:", "{p}:", "p\x00"} {
			p, other := mutex.NewPool(rdb, prefix), mutex.NewPool(anotherClient(t, rdb), prefix)
			all, err := p.LockContext(t.Context(), names...)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if all.FenceOf(name) == 0 {
					t.Errorf("%q has no fence", name)
				}
				if other.TryLock(name) {
					t.Errorf("%q is locked twice", name)
				}
			}
			unlock(t, all)
			for _, name := range names {
				other.Lock(name)
				other.Unlock(name)
			}
		}
		bare(t, rdb)
	})
}
