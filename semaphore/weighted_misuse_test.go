package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestWeightedMisuse: whatever cannot be used fails at the first operation with
// the reason, and writes nothing.
func TestWeightedMisuse(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ctx := t.Context()
		rdb.LPush(ctx, "list", "x")
		rdb.Set(ctx, "string", "x", 0)
		rdb.HSet(ctx, "hash", "x", "y")
		rdb.HSet(ctx, "state", "state", "of somebody else")
		rdb.HSet(ctx, "rw", "state", "r 1099511627776 1099511627776 0 0 1 3900000 1")
		rdb.Set(ctx, "baton:{mine}:line", "x", 0)
		var none *redis.Client
		with := func(key string, ttl, maxHold time.Duration) *semaphore.Weighted {
			s := semaphore.NewWeighted(rdb, key, 10)
			s.TTL, s.MaxHold = ttl, maxHold
			return s
		}
		before := fmt.Sprint(dump(t, rdb))
		for _, row := range []struct {
			sem  *semaphore.Weighted
			n    int64
			want string
		}{
			{semaphore.NewWeighted(rdb, "", 10), 1, "the key is empty"},
			{semaphore.NewWeighted(rdb, "baton:{key", 10), 1, "library's own"},
			{semaphore.NewWeighted(rdb, "baton:{key}:line", 10), 1, "library's own"},
			{semaphore.NewWeighted(nil, "key", 10), 1, "client is nil"},
			{semaphore.NewWeighted(none, "key", 10), 1, "client is nil"},
			{&semaphore.Weighted{TTL: time.Second}, 1, "not made by NewWeighted"},
			{with("key", 0, 0), 1, "TTL 0s"},
			{with("key", -time.Second, 0), 1, "TTL -1s"},
			{with("key", 999*time.Microsecond, 0), 1, "TTL 999µs"},
			{with("key", 9999*time.Microsecond, 0), 1, "TTL 9.999ms"},
			{with("key", time.Second, -1), 1, "MaxHold -1ns"},
			{semaphore.NewWeighted(rdb, "key", 0), 1, "invalid size 0:"},
			{semaphore.NewWeighted(rdb, "key", -1), 1, "invalid size -1:"},
			{semaphore.NewWeighted(rdb, "key", math.MaxInt64), 1, "invalid size 9223372036854775807:"},
			{semaphore.NewWeighted(rdb, "key", 10), 0, "number of permits 0:"},
			{semaphore.NewWeighted(rdb, "key", 10), -1, "number of permits -1:"},
			{semaphore.NewWeighted(rdb, "key", 10), math.MinInt64, "number of permits -9223372036854775808:"},
			{semaphore.NewWeighted(rdb, "key", 10), math.MaxInt64, "number of permits 9223372036854775807:"},
			{semaphore.NewWeighted(rdb, "list", 10), 1, "WRONGTYPE"},
			{semaphore.NewWeighted(rdb, "string", 10), 1, "WRONGTYPE"},
			{semaphore.NewWeighted(rdb, "hash", 10), 1, "WRONGTYPE"},
			{semaphore.NewWeighted(rdb, "state", 10), 1, "WRONGTYPE"},
			{semaphore.NewWeighted(rdb, "rw", 10), 1, "RWMutex"},
			{semaphore.NewWeighted(rdb, "mine", 10), 1, "its line: WRONGTYPE"},
		} {
			refused := func(what string, l *semaphore.Lease, err error) {
				t.Helper()
				if l != nil || err == nil || !strings.HasPrefix(err.Error(), "baton: ") || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%s, %s: got %v, %v", row.want, what, l, err)
				}
			}
			refused("Acquire", nil, row.sem.Acquire(ctx, row.n))
			l, err := row.sem.AcquireLease(ctx, row.n)
			refused("AcquireLease", l, err)
			l, err = row.sem.TryAcquireLease(ctx, row.n)
			refused("TryAcquireLease", l, err)
			r := <-row.sem.AcquireChan(ctx, row.n)
			refused("AcquireChan", r.Lease, r.Err)
			refused("Do", nil, row.sem.Do(ctx, row.n, func(context.Context) error { panic("called") }))
			var got string // on a busy machine the call before may not be over, and a try does not wait for that
			redistest.Eventually(t, poll, func() bool {
				got = panics(func() { row.sem.TryAcquire(row.n) })
				return got != "<nil>"
			}, "%s: TryAcquire panics", row.want)
			if !strings.Contains(got, row.want) {
				t.Errorf("%s: TryAcquire panics with %s", row.want, got)
			}
			if got := panics(func() { row.sem.Release(row.n) }); !strings.Contains(got, "release") {
				t.Errorf("%s: Release panics with %s", row.want, got)
			}
			if !strings.Contains(row.want, "TTL") && !strings.Contains(row.want, "MaxHold") { // which Resize has no use for
				refused("Resize", nil, row.sem.Resize(ctx, row.n))
			}
		}
		if after := fmt.Sprint(dump(t, rdb)); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}

		// More than there is: what is refused has made no key, nor changed one.
		s := semaphore.NewWeighted(rdb, "fresh", 10)
		if err := s.Acquire(ctx, 11); !errors.Is(err, semaphore.ErrSize) {
			t.Errorf("Acquire of 11 of 10: %v", err)
		}
		if s.TryAcquire(11) {
			t.Error("TryAcquire of 11 of 10 succeeds")
		}
		if after := fmt.Sprint(dump(t, rdb)); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
	})
}

// dump is what the keys hold.
func dump(t *testing.T, rdb *redis.Client) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		switch rdb.Type(t.Context(), key).Val() {
		case "hash":
			all[key] = fmt.Sprint(rdb.HGetAll(t.Context(), key).Val())
		case "string":
			all[key] = rdb.Get(t.Context(), key).Val()
		default:
			all[key] = rdb.Type(t.Context(), key).Val()
		}
	}
	return all
}

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
			if _, err := s.TryAcquireLease(t.Context(), 1); !errors.Is(err, semaphore.ErrLocked) {
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
