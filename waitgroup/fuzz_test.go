package waitgroup_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// FuzzKeys counts in two groups, as two processes: they are one only if their keys
// are, and nothing is left but what expires.
func FuzzKeys(f *testing.F) {
	redistest.AddKeys(f)
	s := redistest.Start(f)
	a, b := s.Client(f), s.Client(f)
	f.Fuzz(func(t *testing.T, one, two string) {
		ctx := t.Context()
		must(a.FlushAll(ctx).Err())
		first, second := waitgroup.New(a, one), waitgroup.New(b, two)
		if err := first.AddContext(ctx, 1); redistest.Usable(one) != (err == nil) {
			t.Fatalf("%q: %v", one, err)
		}
		task, err := second.Join(ctx)
		switch {
		case !redistest.Usable(two):
			if err == nil || errors.Is(err, waitgroup.ErrNoTask) {
				t.Errorf("%q: %v", two, err)
			}
		case one != two:
			is(t, fmt.Sprintf("a task of %q, with one in %q", two, one), err, waitgroup.ErrNoTask)
		case err != nil:
			t.Errorf("%q: %v", two, err)
		default:
			must(task.Done())
		}
		if redistest.Usable(one) && one != two {
			must(first.DoneContext(ctx))
		}
		if redistest.Usable(one) {
			must(first.WaitContext(ctx))
		} else if n := a.DBSize(ctx).Val(); n > 1 { // the operations of the second
			t.Errorf("%q, %q: %q are left", one, two, a.Keys(ctx, "*").Val())
		}
		if keys := s.Forever(t); len(keys) > 0 {
			t.Errorf("%q, %q: for ever: %q", one, two, keys)
		}
	})
}

// FuzzDeltas adds one delta after the other, and holds what happens against a count
// of its own.
func FuzzDeltas(f *testing.F) {
	for _, delta := range []int{0, 1, -1, 2, -2, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt, math.MinInt} {
		f.Add(delta, 1, -1)
		f.Add(1, delta, -delta)
		f.Add(delta, delta, delta)
	}
	s := redistest.Start(f)
	rdb := s.Client(f)
	f.Fuzz(func(t *testing.T, one, two, three int) {
		must(rdb.FlushAll(t.Context()).Err())
		wg := waitgroup.New(rdb, "key")
		count := 0
		for _, delta := range []int{one, two, three, one, -two, 1} {
			what := fmt.Sprintf("%d, %d, %d: %d to %d", one, two, three, delta, count)
			err := wg.AddContext(t.Context(), delta)
			switch {
			case delta > math.MaxInt32 || delta < math.MinInt32:
				if err == nil || errors.Is(err, waitgroup.ErrNegative) {
					t.Fatalf("%s: %v", what, err)
				}
			case count+delta < 0:
				is(t, what, err, waitgroup.ErrNegative)
			case err != nil:
				t.Fatalf("%s: %v", what, err)
			default:
				count += delta
			}
			holds(t, what, rdb, int64(count), 0)
		}
		select {
		case err := <-wg.WaitChan(t.Context()):
			if count > 0 || err != nil {
				t.Errorf("%d, %d, %d: the wait with %d left ended with %v", one, two, three, count, err)
			}
		case <-time.After(time.Millisecond):
		}
		if keys := s.Forever(t); len(keys) > 0 {
			t.Errorf("%d, %d, %d: for ever: %q", one, two, three, keys)
		}
	})
}

// FuzzTTL joins with any TTL: it is refused, or is what Redis gets.
func FuzzTTL(f *testing.F) {
	for _, ttl := range []int64{0, -1, 1, 1500e3, 9999999, 10e6, 10999999, 1e9, int64(12 * time.Hour), int64(12*time.Hour) + 1, int64(12*time.Hour + time.Millisecond), math.MaxInt64, math.MinInt64} {
		f.Add(ttl)
	}
	s := redistest.Start(f)
	rdb := s.Client(f)
	f.Fuzz(func(t *testing.T, ttl int64) {
		must(rdb.FlushAll(t.Context()).Err())
		wg := waitgroup.New(rdb, "key")
		wg.TTL = time.Duration(ttl)
		must(wg.AddContext(t.Context(), 1))
		task, err := wg.Join(t.Context())
		cut := time.Duration(ttl).Truncate(time.Millisecond)
		if ttl < int64(10*time.Second) && errors.Is(err, waitgroup.ErrNoTask) {
			return // on a busy machine it may be lost before it can be told of, and then it is abandoned
		}
		if valid := cut >= 10*time.Millisecond && cut <= 12*time.Hour; valid != (err == nil) {
			t.Fatalf("TTL %d: %v", ttl, err)
		} else if !valid {
			if !strings.Contains(err.Error(), "TTL ") {
				t.Errorf("TTL %d: %v", ttl, err)
			}
			holds(t, "a bad TTL", rdb, 1, 0)
			return
		}
		if err := task.Done(); err != nil && ttl > int64(10*time.Second) { // a shorter one may end before on a busy machine
			t.Errorf("TTL %d: Done: %v", ttl, err)
		}
		if keys := s.Forever(t); len(keys) > 0 {
			t.Errorf("TTL %d: for ever: %q", ttl, keys)
		}
	})
}
