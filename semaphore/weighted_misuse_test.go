package semaphore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestWeightedKeys uses keys with all kinds of names: each works, is handed over,
// and is no other's.
func TestWeightedKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		other := sibling(t, rdb)
		keys := []string{
			"{}", "}x", "a}b", "{", "}", "{tag}", "x{tag}y", "{}{tag}", "{{x}}", "tag", " ", "a b", "a\nb", "\x00", "a\x00b", "\xff\xfe", "\r\n",
			"baton:x", "key:line", "1 2 3 4", "state", strings.Repeat("k", 1<<16),
		}
		var held []*semaphore.Lease
		for _, key := range keys {
			held = append(held, acquire(t, semaphore.NewWeighted(rdb, key, 2), 2))
		}
		for i, key := range keys {
			name := fmt.Sprintf("%.20q", key)
			if n := rdb.HLen(t.Context(), key).Val(); n != 2 {
				t.Errorf("%s has %d fields", name, n)
			}
			s := semaphore.NewWeighted(other, key, 2)
			if _, err := s.TryAcquireLease(t.Context(), 1); !errors.Is(err, semaphore.ErrNotAvailable) {
				t.Errorf("%s does not exclude: %v", name, err)
			}
			next := s.AcquireChan(t.Context(), 1)
			redistest.Eventually(t, poll, func() bool {
				state := rdb.HGet(t.Context(), key, "state").Val()
				return strings.Fields(state)[4] == "1"
			}, "%s has a line", name)
			release(t, held[i])
			release(t, receive(t, name, next, 0))
		}
	})
}

// TestWeightedPortions releases what several acquires took in other portions, the
// last of which is one too many.
func TestWeightedPortions(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 20, ample)
		for _, n := range []int64{1, 5, 2, 3} {
			must(s.Acquire(t.Context(), n))
		}
		weighs(t, rdb, "1 + 5 + 2 + 3", 11)
		sum := int64(11)
		for _, n := range []int64{4, 3, 1, 2} {
			s.Release(n)
			sum -= n
			weighs(t, rdb, fmt.Sprint("released ", n), sum)
		}
		if got := panics(func() { s.Release(2) }); !strings.Contains(got, "released more than held") {
			t.Errorf("it panics with %s", got)
		}
		weighs(t, rdb, "a misuse changes nothing", 1)
		s.Release(1)
		weighs(t, rdb, "all released")

		// A lease is not what Release gives back.
		l := acquire(t, s, 3)
		if got := panics(func() { s.Release(3) }); !strings.Contains(got, "released more than held") {
			t.Errorf("it panics with %s", got)
		}
		weighs(t, rdb, "a lease is left alone", 3)
		release(t, l)
		if err := l.Release(); !errors.Is(err, semaphore.ErrReleased) {
			t.Errorf("a second Release returned %v", err)
		}
		if err := l.Err(); !errors.Is(err, semaphore.ErrReleased) {
			t.Errorf("Err after Release is %v", err)
		}
	})
}

// TestWeightedPortionsConcurrent has twelve goroutines release ten permits:
// two of them panic, and nothing is left.
func TestWeightedPortionsConcurrent(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 10, ample)
		for range 10 {
			for _, n := range []int64{3, 3, 4} {
				must(s.Acquire(t.Context(), n))
			}
			var panicked atomic.Int64
			var wg sync.WaitGroup
			for range 12 {
				wg.Go(func() {
					defer func() {
						if recover() != nil {
							panicked.Add(1)
						}
					}()
					s.Release(1)
				})
			}
			wg.Wait()
			if n := panicked.Load(); n != 2 {
				t.Errorf("%d of 12 releases of 10 panicked", n)
			}
			weighs(t, rdb, "all released")
		}
	})
}
