package waitgroup_test

import (
	"context"
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

// TestMisuse: whatever cannot be used fails at the first operation with the reason,
// and writes nothing.
func TestMisuse(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ctx := t.Context()
		rdb.LPush(ctx, "list", "x")
		rdb.Set(ctx, "string", "x", 0)
		rdb.ZAdd(ctx, "zset", redis.Z{Score: 1, Member: "x"})
		rdb.ZAdd(ctx, "zero", redis.Z{Member: "x"})
		var none *redis.Client
		before := fmt.Sprint(rdb.DBSize(ctx), rdb.ZRangeWithScores(ctx, "zset", 0, -1), rdb.ZRangeWithScores(ctx, "zero", 0, -1))
		for _, row := range []struct {
			wg    *waitgroup.WaitGroup
			words string
		}{
			{waitgroup.New(rdb, ""), "the key is empty"},
			{waitgroup.New(rdb, "baton:{x}:queue"), "the library's own"},
			{waitgroup.New(none, "key"), "client is nil"},
			{waitgroup.New(nil, "key"), "client is nil"},
			{new(waitgroup.WaitGroup), "not made by New"},
			{waitgroup.New(rdb, "list"), "WRONGTYPE"},
			{waitgroup.New(rdb, "string"), "WRONGTYPE"},
			{waitgroup.New(rdb, "zset"), "not a wait group"},
			{waitgroup.New(rdb, "zero"), "not a wait group"},
		} {
			for what, do := range map[string]func() error{
				"Add":  func() error { return panicOf(func() { row.wg.Add(1) }) },
				"Done": func() error { return panicOf(row.wg.Done) },
				"Wait": func() error { return panicOf(row.wg.Wait) },
				"Go": func() error {
					row.wg.TTL = time.Second
					return panicOf(func() { row.wg.Go(func() { t.Error("it runs") }) })
				},
				"AddContext":  func() error { return row.wg.AddContext(ctx, 1) },
				"DoneContext": func() error { return row.wg.DoneContext(ctx) },
				"WaitContext": func() error { return row.wg.WaitContext(ctx) },
				"WaitChan":    func() error { return <-row.wg.WaitChan(ctx) },
				"Join":        func() error { _, err := row.wg.Join(ctx); return err },
				"GoContext": func() error {
					return row.wg.GoContext(ctx, func(context.Context) error { t.Error("it runs"); return nil })
				},
			} {
				row.wg.TTL = time.Second
				if err := do(); err == nil || !strings.Contains(err.Error(), row.words) {
					t.Errorf("%s: %v, not %q", what, err, row.words)
				}
			}
		}
		if after := fmt.Sprint(rdb.DBSize(ctx), rdb.ZRangeWithScores(ctx, "zset", 0, -1), rdb.ZRangeWithScores(ctx, "zero", 0, -1)); after != before {
			t.Errorf("there was %s, there is %s", before, after)
		}
	})
}

func panicOf(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}

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
		if _, err := wg.Join(t.Context()); err == nil || !strings.Contains(err.Error(), "TTL") {
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
	if err := wg.AddContext(t.Context(), -1); !errors.Is(err, waitgroup.ErrNegative) || !strings.Contains(err.Error(), `"key"`) {
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
			task := join(t, other)
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
