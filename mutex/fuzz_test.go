package mutex_test

import (
	"context"
	"errors"
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
		if left := s.Persistent(t); len(left) > 0 || a.DBSize(t.Context()).Val() > int64(len(keys)) {
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
				pipe.ZAdd(t.Context(), "baton:{key}:queue", redis.Z{Score: 1, Member: "token"})
				pipe.HSet(t.Context(), "baton:{key}:waiters", "token", text)
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
