package mutex_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

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
		try := func(rdb *redis.Client) (*mutex.Lease, error) {
			return kinds[where%6/3].of(rdb, "key", standard).tryLockContext(t.Context())
		}
		first, err := try(a)
		if err != nil {
			if !errors.Is(err, mutex.ErrLocked) && !strings.HasPrefix(err.Error(), `baton: try to lock "key": `) {
				t.Errorf("%d, %q: %v", where%6, text, err)
			}
			return
		}
		if second, err := try(b); second != nil || err == nil {
			t.Errorf("%d, %q: two hold the lock", where%6, text)
		}
		if err := first.Unlock(); err != nil {
			t.Errorf("%d, %q: Unlock: %v", where%6, text, err)
		}
		second, err := try(b)
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
