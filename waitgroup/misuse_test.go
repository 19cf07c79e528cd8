package waitgroup_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestMethods finds every method of sync's, with the same signature.
func TestMethods(t *testing.T) {
	t.Parallel()
	ours, theirs := reflect.TypeFor[*waitgroup.WaitGroup](), reflect.TypeFor[*sync.WaitGroup]()
	for i := range theirs.NumMethod() {
		name, want := theirs.Method(i).Name, reflect.Zero(theirs).Method(i).Type()
		if _, ok := ours.MethodByName(name); !ok || reflect.Zero(ours).MethodByName(name).Type() != want {
			t.Errorf("%v has no %s %v", ours, name, want)
		}
	}
}

// TestMisuseNumbers: TTLs and deltas that cannot be used.
func TestMisuseNumbers(t *testing.T) {
	t.Parallel()
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	for _, ttl := range []time.Duration{0, -time.Second, time.Millisecond, time.Millisecond / 2, 13 * time.Hour} {
		wg := waitgroup.New(rdb, "key")
		wg.TTL = ttl
		wg.Add(1)
		if _, err := wg.Claim(t.Context()); err == nil || !strings.Contains(err.Error(), "TTL") {
			t.Errorf("a TTL of %v: %v", ttl, err)
		}
		holds(t, "a bad TTL", rdb, 1, 0)
		wg.Done()
	}
	wg := waitgroup.New(rdb, "key")
	for _, delta := range []int{math.MaxInt, math.MaxInt32 + 1, math.MinInt, math.MinInt32 - 1} {
		if err := wg.AddContext(t.Context(), delta); err == nil || !strings.Contains(err.Error(), fmt.Sprint(delta)) {
			t.Errorf("a delta of %d: %v", delta, err)
		}
	}
	if err := wg.AddContext(t.Context(), -1); !errors.Is(err, waitgroup.ErrNegativeCounter) || !strings.Contains(err.Error(), `"key"`) {
		t.Error(err)
	}
	wg.Add(math.MaxInt32)
	wg.Add(math.MaxInt32)
	holds(t, "large deltas", rdb, 2*math.MaxInt32, 0)
}

// TestKeys: any other key will do, and none disturbs another.
func TestKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, key := range []string{"a b", "{a}b", "a}b", "a{b", "{}", "{", "line\nfeed", "NUL\x00", "NUL\x00 again", strings.Repeat("long", 1000), "ключ"} {
			wg, other := waitgroup.New(rdb, key), waitgroup.New(sibling(t, rdb), key)
			wg.Add(2)
			c := other.WaitChan(t.Context())
			goesOn(t, key, c, 30*time.Millisecond)
			task := claim(t, other)
			wg.Done()
			start := time.Now()
			if err := task.Done(); err != nil {
				t.Errorf("%q: %v", key, err)
			}
			if err := ends(t, key, c, start, 0); err != nil { // it is told, not found by a poll
				t.Errorf("%q: %v", key, err)
			}
		}
	})
}

// TestAddThatIsTakenForGivenUpFails: Redis answers that it counts nothing for a
// number that it takes for over, and that is no success.
func TestAddThatIsTakenForGivenUpFails(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		if err := wg.AddContext(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		keys := rdb.Keys(t.Context(), "baton:{key}:ops:*").Val()
		if len(keys) != 1 {
			t.Fatalf("the keys are %q", keys)
		}
		rdb.HSet(t.Context(), keys[0], "acked", 1000)
		if err := wg.AddContext(t.Context(), 1); err == nil {
			t.Error("nothing was counted, and there is no error")
		}
	})
}
