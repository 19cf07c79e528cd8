package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A trier is one way to try for a key, as a process with the client.
type trier func(ctx context.Context, rdb *redis.Client, key string) (*mutex.Lease, error)

var triers = map[string]trier{
	"Mutex": func(ctx context.Context, rdb *redis.Client, key string) (*mutex.Lease, error) {
		return mutex.New(rdb, key).TryLockContext(ctx)
	},
	"Pool": func(ctx context.Context, rdb *redis.Client, key string) (*mutex.Lease, error) {
		return mutex.NewPool(rdb, "").TryLockContext(ctx, key)
	},
	"RWMutex": func(ctx context.Context, rdb *redis.Client, key string) (*mutex.Lease, error) {
		return mutex.NewRW(rdb, key).TryLockContext(ctx)
	},
	"a reader": func(ctx context.Context, rdb *redis.Client, key string) (*mutex.Lease, error) {
		return mutex.NewRW(rdb, key).TryRLockContext(ctx)
	},
}

// FuzzKeys locks two keys in each way, as two processes: that excludes only if they
// are the same, and leaves nothing but what expires.
func FuzzKeys(f *testing.F) {
	redistest.AddKeys(f)
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, one, two string) {
		for what, try := range triers {
			must(a.FlushAll(t.Context()).Err())
			first, err := try(t.Context(), a, one)
			if redistest.Usable(one) != (err == nil) {
				t.Fatalf("%s: %q: %v", what, one, err)
			}
			second, err := try(t.Context(), b, two)
			shared := what == "a reader"
			if locked := redistest.Usable(two) && one == two && !shared; locked != errors.Is(err, mutex.ErrLocked) || !locked && redistest.Usable(two) != (err == nil) {
				t.Errorf("%s: %q with %q held: %v", what, two, one, err)
			}
			for _, l := range []*mutex.Lease{first, second} {
				if l == nil {
					continue
				}
				if l.Fence() <= 0 || l.Err() != nil {
					t.Errorf("%s: fence %d, Err %v", what, l.Fence(), l.Err())
				}
				if err := l.Unlock(); err != nil {
					t.Errorf("%s: %q, %q: Unlock: %v", what, one, two, err)
				}
			}
			if n := a.DBSize(t.Context()).Val(); n > 2 { // a fence for each, or a state
				t.Errorf("%s: %q, %q: %d keys are left: %q", what, one, two, n, a.Keys(t.Context(), "*").Val())
			}
			if keys := s.Forever(t); len(keys) > 0 {
				t.Errorf("%s: %q, %q: for ever: %q", what, one, two, keys)
			}
		}
	})
}

// FuzzTTL locks with any TTL and MaxHold: they are refused, or are what Redis gets.
func FuzzTTL(f *testing.F) {
	for _, ttl := range []int64{0, -1, 1, 1000, 1500e3, 9999999, 10e6, 10999999, 1e9, 10e9, 1234567890, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1 << 53} {
		f.Add(ttl, int64(0))
		f.Add(int64(time.Second), ttl)
	}
	s := redistest.Start(f)
	rdb := s.Client(f)
	f.Fuzz(func(t *testing.T, ttl, maxHold int64) {
		m, rw, p := mutex.New(rdb, "m"), mutex.NewRW(rdb, "rw"), mutex.NewPool(rdb, "p")
		m.TTL, rw.TTL, p.TTL = time.Duration(ttl), time.Duration(ttl), time.Duration(ttl)
		m.MaxHold, rw.MaxHold, p.MaxHold = time.Duration(maxHold), time.Duration(maxHold), time.Duration(maxHold)
		valid := ttl >= int64(10*time.Millisecond) && maxHold >= 0
		for what, lock := range map[string]func(context.Context) (*mutex.Lease, error){
			"m": m.LockContext, "rw": rw.LockContext, "rw to read": rw.RLockContext,
			"p1":        func(ctx context.Context) (*mutex.Lease, error) { return p.LockContext(ctx, "1") },
			"p1 of two": func(ctx context.Context) (*mutex.Lease, error) { return p.LockContext(ctx, "1", "2") },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
			l, err := lock(ctx)
			cancel()
			if ttl < int64(10*time.Second) && errors.Is(err, context.DeadlineExceeded) {
				continue // a busy machine may take longer for an answer
			}
			if valid != (err == nil) || (l != nil) != (err == nil) {
				t.Fatalf("%s: TTL %d, MaxHold %d: %v", what, ttl, maxHold, err)
			}
			if !valid {
				if !strings.Contains(err.Error(), "TTL ") && !strings.Contains(err.Error(), "MaxHold ") {
					t.Errorf("%s: TTL %d, MaxHold %d: %v", what, ttl, maxHold, err)
				}
				continue
			}
			stated := fmt.Sprintf("baton:%d:", ttl/int64(time.Millisecond)) // cut to whole milliseconds
			var held string
			if key, _, _ := strings.Cut(what, " "); key != "rw" {
				held = rdb.Get(t.Context(), key).Val()
			} else {
				held = strings.Join(rdb.HKeys(t.Context(), key).Val(), " ")
			}
			if l.Err() == nil && !strings.Contains(held, stated) { // else the TTL was too short for a busy machine
				t.Errorf("%s: a TTL of %d makes %q", what, ttl, held)
			}
			if err := l.Unlock(); err != nil && ttl > int64(10*time.Second) { // a shorter one may end before on a busy machine
				t.Errorf("%s: TTL %d, MaxHold %d: Unlock: %v", what, ttl, maxHold, err)
			}
		}
		if keys := s.Forever(t); len(keys) > 0 {
			t.Errorf("TTL %d, MaxHold %d: for ever: %q", ttl, maxHold, keys)
		}
	})
}

// FuzzPool locks several keys of a pool at once: all or none, each once.
func FuzzPool(f *testing.F) {
	f.Add("", "a,b,c,a")
	f.Add("p:", "")
	f.Add("baton:", "a,{a},b")
	f.Add("{p}", strings.Join(redistest.OddKeys[1:], ","))
	f.Add("", strings.Join(redistest.OddKeys, ","))
	f.Add("x}", "{a},}b,a}")
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, prefix, list string) {
		keys := strings.Split(list, ",")
		must(a.FlushAll(t.Context()).Err())
		p, other := mutex.NewPool(a, prefix), mutex.NewPool(b, prefix)
		valid := true
		for _, key := range keys {
			valid = valid && key != "" && redistest.Usable(prefix+key)
		}
		l, err := p.TryLockContext(t.Context(), keys...)
		if valid != (err == nil) || (l != nil) != valid {
			t.Fatalf("%q, %q: %v", prefix, keys, err)
		}
		if !valid {
			if n := a.DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("%q, %q: refused, and %d keys are written", prefix, keys, n)
			}
			return
		}
		for _, key := range keys {
			if l.FenceOf(key) <= 0 || l.FenceOf(key) > l.Fence() {
				t.Errorf("%q, %q: fence %d of %q, of all %d", prefix, keys, l.FenceOf(key), key, l.Fence())
			}
			if _, err := other.TryLockContext(t.Context(), key); !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("%q, %q: %q does not exclude: %v", prefix, keys, key, err)
			}
		}
		if err := l.Unlock(); err != nil {
			t.Errorf("%q, %q: Unlock: %v", prefix, keys, err)
		}
		again, err := other.TryLockContext(t.Context(), keys...)
		if err != nil {
			t.Fatalf("%q, %q: after Unlock: %v", prefix, keys, err)
		}
		if again.Fence() <= l.Fence() {
			t.Errorf("%q, %q: fence %d after %d", prefix, keys, again.Fence(), l.Fence())
		}
		if err := again.Unlock(); err != nil {
			t.Errorf("%q, %q: Unlock: %v", prefix, keys, err)
		}
		if left := s.Forever(t); len(left) > 0 || a.DBSize(t.Context()).Val() > int64(len(keys)) {
			t.Errorf("%q, %q: left for ever: %q, of %q", prefix, keys, left, a.Keys(t.Context(), "*").Val())
		}
	})
}

// FuzzGarbage finds anything in the keys of a lock that is held by nobody: that is
// an error or not heeded, but it is never two holders, nor a fence that shrinks.
func FuzzGarbage(f *testing.F) {
	for _, text := range []string{
		"", "x", "0", "-1", "inf", "nan", "1e300", "-1e300", "0x7fffffffffffffff", "9007199254740992", "9223372036854775808", "1753862400123456.5",
		"s 3 3 0 0 1 3900000 1", "r 1099511627776 1099511627776 0 0 1 3900000 1", "r 1099511627776 1099511627776 0 0 99999999999999999999999 3900000 1",
		"r 1099511627776 1099511627776 1 1 1 3900000 1", "1 2 3600 channel", "limit 1 1 1 1",
	} {
		for where := range byte(6) {
			f.Add(where, text)
		}
	}
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, where byte, text string) {
		must(a.FlushAll(t.Context()).Err())
		put := []func(pipe redis.Pipeliner){
			func(pipe redis.Pipeliner) { pipe.Set(t.Context(), "baton:{key}:fence", text, time.Hour) },
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: text})
			},
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: "token"})
				pipe.HSet(t.Context(), "baton:{key}:waiters", "token", text)
			},
			func(pipe redis.Pipeliner) { pipe.HSet(t.Context(), "key", "state", text) },
			func(pipe redis.Pipeliner) {
				pipe.HSet(t.Context(), "key", "state", "r 1099511627776 1099511627776 0 0 1 3900000 1", "token", text)
			},
			func(pipe redis.Pipeliner) {
				pipe.ZAdd(t.Context(), "baton:{key}:line", redis.Z{Score: 1, Member: "token"})
				pipe.HSet(t.Context(), "baton:{key}:entries", "token", text)
			},
		}[int(where)%6]
		if _, err := a.Pipelined(t.Context(), func(pipe redis.Pipeliner) error { put(pipe); return nil }); err != nil {
			t.Fatal(err)
		}
		try := triers["Mutex"]
		if where%6 > 2 {
			try = triers["RWMutex"]
		}
		first, err := try(t.Context(), a, "key")
		if err != nil {
			if !errors.Is(err, mutex.ErrLocked) && !strings.HasPrefix(err.Error(), `baton: try to lock "key": `) {
				t.Errorf("%d, %q: %v", where%6, text, err)
			}
			return
		}
		if second, err := try(t.Context(), b, "key"); second != nil || err == nil {
			t.Errorf("%d, %q: two hold the lock", where%6, text)
		}
		if err := first.Unlock(); err != nil {
			t.Errorf("%d, %q: Unlock: %v", where%6, text, err)
		}
		second, err := try(t.Context(), b, "key")
		if err != nil {
			if !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("%d, %q: after Unlock: %v", where%6, text, err)
			}
			return
		}
		if second.Fence() <= first.Fence() || first.Fence() <= 0 {
			t.Errorf("%d, %q: fence %d after %d", where%6, text, second.Fence(), first.Fence())
		}
		if err := second.Unlock(); err != nil {
			t.Errorf("%d, %q: Unlock: %v", where%6, text, err)
		}
	})
}
