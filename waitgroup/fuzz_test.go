package waitgroup_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

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
				if err == nil || errors.Is(err, waitgroup.ErrNegativeCounter) {
					t.Fatalf("%s: %v", what, err)
				}
			case count+delta < 0:
				is(t, what, err, waitgroup.ErrNegativeCounter)
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
		if keys := s.Persistent(t); len(keys) > 0 {
			t.Errorf("%d, %d, %d: for ever: %q", one, two, three, keys)
		}
	})
}
