package semaphore_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// panics returns what f panics with.
func panics(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return
}

// TestLimiterMisuse: whatever cannot be used fails at the first operation with
// the reason, and writes nothing.
func TestLimiterMisuse(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		rdb.LPush(t.Context(), "list", "x")
		rdb.Set(t.Context(), "string", "x", 0)
		var none *redis.Client
		for _, row := range []struct {
			name string
			lim  *semaphore.Limiter
			n    int
			want string
		}{
			{"an empty key", semaphore.NewLimiter(rdb, "", 1, 1), 1, "key is empty"},
			{"our own key", semaphore.NewLimiter(rdb, "baton:{x}", 1, 1), 1, "the library's own"},
			{"a nil client", semaphore.NewLimiter(nil, "key", 1, 1), 1, "client is nil"},
			{"a nil client in an interface", semaphore.NewLimiter(none, "key", 1, 1), 1, "client is nil"},
			{"not a number", semaphore.NewLimiter(rdb, "key", semaphore.Limit(math.NaN()), 1), 1, "invalid limit NaN"},
			{"a negative limit", semaphore.NewLimiter(rdb, "key", -1, 1), 1, "invalid limit -1"},
			{"minus infinity", semaphore.NewLimiter(rdb, "key", semaphore.Limit(math.Inf(-1)), 1), 1, "invalid limit -Inf"},
			{"a negative burst", semaphore.NewLimiter(rdb, "key", 1, -1), 1, "invalid burst -1"},
			{"a burst too large", semaphore.NewLimiter(rdb, "key", 1, math.MaxInt), 1, "invalid burst 9"},
			{"no events", semaphore.NewLimiter(rdb, "key", 1, 1), 0, "invalid event count 0"},
			{"fewer events", semaphore.NewLimiter(rdb, "key", semaphore.Inf, 1), -1, "invalid event count -1"},
			{"a zero value", new(semaphore.Limiter), 1, "not made by NewLimiter"},
			{"a list", semaphore.NewLimiter(rdb, "list", 1, 1), 1, "WRONGTYPE"},
			{"another's string", semaphore.NewLimiter(rdb, "string", 1, 1), 1, "not the state of a limiter"},
		} {
			for what, err := range map[string]string{
				"AllowN": panics(func() { row.lim.AllowN(row.n) }),
				"AllowNContext": func() string {
					_, err := row.lim.AllowNContext(t.Context(), row.n)
					return fmt.Sprint(err)
				}(),
				"WaitN": fmt.Sprint(row.lim.WaitN(t.Context(), row.n)),
			} {
				if !strings.Contains(err, row.want) || !strings.HasPrefix(err, "baton: ") {
					t.Errorf("%s: %s: %q, want %q", row.name, what, err, row.want)
				}
			}
			if row.n != 1 {
				continue
			}
			if err := fmt.Sprint(<-row.lim.WaitChan(t.Context())); !strings.Contains(err, row.want) {
				t.Errorf("%s: WaitChan: %q, want %q", row.name, err, row.want)
			}
		}
		if n := rdb.DBSize(t.Context()).Val(); n != 2 {
			t.Errorf("%d keys, of which two were there: %v", n, rdb.Keys(t.Context(), "*").Val())
		}
	})
}

// TestLimiterKeys: any other key will do, and keys do not share a bucket.
func TestLimiterKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, key := range []string{"a", "{a}", "a}b", "{a}b", "x{a}", "{}", "\x00\xff", "a b", strings.Repeat("long", 1000)} {
			lim := semaphore.NewLimiter(rdb, key, 0.001, 2)
			if err := lim.Wait(t.Context()); err != nil {
				t.Errorf("%q: %v", key, err)
			}
			if !lim.Allow() || lim.Allow() {
				t.Errorf("%q: not two tokens", key)
			}
		}
	})
}

// TestLimiterBurst0 allows nothing, unless there is no limit.
func TestLimiterBurst0(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	if semaphore.NewLimiter(rdb, "key", 1, 0).Allow() || !semaphore.NewLimiter(rdb, "key", semaphore.Limit(math.Inf(1)), 0).Allow() {
		t.Error("not as expected")
	}
}
