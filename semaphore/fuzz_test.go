package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// FuzzWeights takes and releases permits in one process as the steps say, and holds
// what happens against a count of its own.
func FuzzWeights(f *testing.F) {
	const most int64 = 1 << 52
	for _, n := range []int64{0, 1, -1, 2, 10, most - 1, most, most + 1, math.MaxInt64, math.MinInt64} {
		f.Add(n, int64(1), []byte{0, 1})
		f.Add(int64(10), n, []byte{0, 0, 1, 2, 1, 3, 0})
		f.Add(most, n, []byte{0, 3, 0, 2, 2})
	}
	f.Add(int64(10), int64(3), []byte{0, 0, 0, 0, 1, 1, 2, 0, 3, 0, 4, 1, 0, 1, 1, 1, 1})
	s := redistest.Start(f)
	rdb := s.Client(f)
	f.Fuzz(func(t *testing.T, size, n int64, steps []byte) {
		must(rdb.FlushAll(t.Context()).Err())
		if size < 0 {
			if text := panics(func() { semaphore.NewWeighted(rdb, "key", size) }); text == "<nil>" {
				t.Errorf("NewWeighted with size %d did not panic", size)
			}
			return
		}
		sem := semaphore.NewWeighted(rdb, "key", size)
		valid := size <= most
		now, inside := size, int64(0) // the size in Redis, and what is held
		for i, step := range steps[:min(len(steps), 40)] {
			what := fmt.Sprintf("size %d, n %d, step %d of %v", size, n, i, steps)
			switch step % 5 {
			case 0, 4: // by Acquire, if it need not wait
				fits := valid && (n == 0 || n > 0 && n <= now-inside)
				if !fits && step%5 == 4 {
					continue
				}
				var text string
				var ok bool
				if step%5 == 4 {
					text = fmt.Sprint(sem.Acquire(t.Context(), n))
					ok = text == "<nil>"
				} else {
					text = panics(func() { ok = sem.TryAcquire(n) })
				}
				if ok != fits || (valid && n >= 0) != (text == "<nil>") {
					t.Fatalf("%s: acquired %t with %d of %d in use, %s", what, ok, inside, now, text)
				}
				if ok {
					inside += n
				}
			case 1, 2: // all that one acquire took, or less
				part := n
				if step%5 == 2 {
					part = n / 2
				}
				fits := part >= 0 && part <= inside
				if text := panics(func() { sem.Release(part) }); fits != (text == "<nil>") {
					t.Fatalf("%s: release of %d with %d in use: %s", what, part, inside, text)
				}
				if fits {
					inside -= part
				}
			case 3:
				to := n/3 + 1
				err := sem.Resize(t.Context(), to)
				if fits := valid && to >= 0 && to <= most; fits != (err == nil) {
					t.Fatalf("%s: resize to %d: %v", what, to, err)
				} else if fits {
					now = to
				}
			}
			if valid {
				if used := state(t, rdb, 3); used != inside {
					t.Fatalf("%s: Redis counts %d, and %d are in use", what, used, inside)
				}
			}
		}
		if inside > 0 {
			sem.Release(inside)
		}
		if valid && (len(members(t, rdb)) > 0 || state(t, rdb, 3) != 0) {
			t.Errorf("size %d, n %d, %v: %v are left", size, n, steps, members(t, rdb))
		}
		if !valid && rdb.HLen(t.Context(), "key").Val() > 1 {
			t.Errorf("size %d, n %d, %v: refused, and holds %v", size, n, steps, members(t, rdb))
		}
		if keys := s.Persistent(t); len(keys) > 0 {
			t.Errorf("size %d, n %d, %v: for ever: %q", size, n, steps, keys)
		}
	})
}

// FuzzLimiter draws from a bucket of any limit and burst: what cannot be is refused,
// and no more than the burst and what has been refilled is let through.
func FuzzLimiter(f *testing.F) {
	for _, limit := range []float64{0, math.Copysign(0, -1), 1, -1, 1e-6, 5e-324, 1e-300, 1e300, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1e6, 1e21, 0.1} {
		for _, n := range []int{0, 1, -1, 3, 1 << 52, 1<<52 + 1, math.MaxInt, math.MinInt} {
			f.Add(limit, n, 1)
			f.Add(limit, 3, n)
		}
	}
	s := redistest.Start(f)
	rdb := s.Client(f)
	f.Fuzz(func(t *testing.T, limit float64, burst, n int) {
		must(rdb.FlushAll(t.Context()).Err())
		what := fmt.Sprintf("limit %v, burst %d, n %d", limit, burst, n)
		lim := semaphore.NewLimiter(rdb, "key", semaphore.Limit(limit), burst)
		unlimited := limit >= math.MaxFloat64
		valid := limit >= 0 && burst >= 0 && burst <= 1<<52 && n > 0
		fits := valid && (unlimited || limit > 0 && n <= burst)
		start := time.Now()
		ok, err := lim.AllowNContext(t.Context(), n)
		if valid != (err == nil) || ok != fits {
			t.Fatalf("%s: the first: %t, %v", what, ok, err)
		}
		again, err := lim.AllowNContext(t.Context(), n)
		took := time.Since(start)
		refilled := limit * (took + 10*time.Millisecond).Seconds() // and what the clocks may differ by
		if valid != (err == nil) || again && !unlimited && 2*float64(n) > float64(burst)+refilled*1.01+1e-3 {
			t.Errorf("%s: the second, after %v: %t, %v", what, took, again, err)
		}
		if fits && 2*float64(n) <= float64(burst) && !again {
			t.Errorf("%s: the second is refused", what)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if err := lim.WaitN(ctx, n); err == nil && !fits {
			t.Errorf("%s: waited", what)
		} else if err != nil && fits && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		if keys := s.Persistent(t); len(keys) > 0 || !fits && rdb.DBSize(t.Context()).Val() > 0 {
			t.Errorf("%s: %q are left, of these for ever %q", what, rdb.Keys(t.Context(), "*").Val(), keys)
		}
	})
}
