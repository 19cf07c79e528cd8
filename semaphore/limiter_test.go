package semaphore_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// d is the unit of time of the tables below, which, like the tests' names, follow
// those of x/time/rate.
const d = 100 * time.Millisecond

func limiter(t *testing.T, r semaphore.Limit, burst int) *semaphore.Limiter {
	t.Helper()
	return semaphore.NewLimiter(redistest.MiniClient(t, redistest.Mini(t)), "key", r, burst)
}

func TestLimit(t *testing.T) {
	if semaphore.Limit(10) == semaphore.Inf {
		t.Error("Limit(10) is Inf")
	}
	l := semaphore.NewLimiter(nil, "key", 10, 3)
	if l.Limit() != 10 || l.Burst() != 3 {
		t.Errorf("%v, %v", l.Limit(), l.Burst())
	}
}

func TestEvery(t *testing.T) {
	for interval, want := range map[time.Duration]semaphore.Limit{
		0: semaphore.Inf, -1: semaphore.Inf, 1: 1e9, time.Millisecond: 1e3, time.Second: 1, 4 * time.Second: 0.25,
		math.MaxInt64: 1e9 / math.MaxInt64,
	} {
		if got := semaphore.Every(interval); math.Abs(float64(got/want)-1) > 1e-9 {
			t.Errorf("Every(%v) is %v, want %v", interval, got, want)
		}
	}
}

type allow struct {
	at, n int
	ok    bool
}

func run(t *testing.T, r semaphore.Limit, burst int, allows []allow) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, r, burst)
		start := time.Now()
		for i, a := range allows {
			time.Sleep(time.Until(start.Add(time.Duration(a.at) * d)))
			if ok := lim.AllowN(a.n); ok != a.ok {
				t.Errorf("step %d: AllowN(%d) at %d is %t, want %t", i, a.n, a.at, ok, a.ok)
			}
		}
	})
}

func TestLimiterBurst1(t *testing.T) {
	run(t, 10, 1, []allow{
		{0, 1, true}, {0, 1, false}, {0, 1, false},
		{1, 1, true}, {1, 1, false}, {1, 1, false},
		{2, 2, false}, {2, 1, true}, {2, 1, false},
	})
}

func TestLimiterBurst3(t *testing.T) {
	run(t, 10, 3, []allow{
		{0, 2, true}, {0, 2, false}, {0, 1, true}, {0, 1, false},
		{1, 4, false}, {2, 1, true}, {3, 1, true},
		{4, 1, true}, {4, 1, true}, {4, 1, false}, {4, 1, false},
		{9, 3, true},
	})
}

func TestLimiterNoTruncationErrors(t *testing.T) {
	run(t, 0.7692307692307693, 1, []allow{{0, 1, true}})
}

// Unlike rate's, which lets the burst through once: once for all processes and
// for ever is of no use to anybody, and nothing at all is what its doc says.
func TestZeroLimit(t *testing.T) {
	run(t, 0, 1, []allow{{0, 1, false}, {1e8, 1, false}})
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 0, 1)
		if err := lim.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "no events") {
			t.Errorf("a wait for ever: %v", err)
		}
	})
}

func TestSimultaneousRequests(t *testing.T) {
	t.Parallel()
	const burst, requests = 5, 15
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		lim := semaphore.NewLimiter(rdb, "key", 0.01, burst)
		var ok atomic.Int32
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				if lim.Allow() {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != burst {
			t.Errorf("%d were allowed, want %d", ok.Load(), burst)
		}
	})
}

// wait checks what WaitN returns, and that it takes so many d.
func wait(t *testing.T, lim *semaphore.Limiter, what string, ctx context.Context, n, delay int, want error) {
	t.Helper()
	start := time.Now()
	err := lim.WaitN(ctx, n)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: WaitN(%d) returned %v, want %v", what, n, err, want)
	}
	if got := time.Since(start); got < time.Duration(delay)*d || got >= time.Duration(delay)*d+d/2 {
		t.Errorf("%s: WaitN(%d) took %v, want %v", what, n, got, time.Duration(delay)*d)
	}
}

func TestWaitSimple(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wait(t, lim, "cancelled already", ctx, 1, 0, context.Canceled)
		if err := lim.WaitN(t.Context(), 4); err == nil || err.Error() != `baton: wait "key": 4 exceeds the burst of 3` {
			t.Error(err)
		}
		wait(t, lim, "act now", t.Context(), 2, 0, nil)
		wait(t, lim, "act later", t.Context(), 3, 2, nil)
		wait(t, lim, "under no ctx", context.Background(), 3, 3, nil)
	})
}

func TestWaitCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 3)
		ctx, cancel := context.WithCancel(t.Context())
		wait(t, lim, "act now", ctx, 2, 0, nil)
		time.AfterFunc(d, cancel)
		wait(t, lim, "cancelled", ctx, 3, 1, context.Canceled)
		wait(t, lim, "act now after it", t.Context(), 2, 0, nil)
	})
}

// TestWaitTimeout has a deadline before its turn: it fails at once and takes nothing.
func TestWaitTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 3)
		ctx, cancel := context.WithTimeout(t.Context(), d+d/2)
		defer cancel()
		wait(t, lim, "act now", ctx, 2, 0, nil)
		wait(t, lim, "too long", ctx, 3, 0, context.DeadlineExceeded)
		wait(t, lim, "what is left", t.Context(), 1, 0, nil)
		wait(t, lim, "in time", ctx, 1, 1, nil)
	})
}

func TestWaitInf(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	lim := semaphore.NewLimiter(rdb, "key", semaphore.Inf, 0)
	wait(t, lim, "no request is sent", t.Context(), 3, 0, nil)
	if !lim.Allow() || <-lim.WaitChan(t.Context()) != nil {
		t.Error("refused")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wait(t, lim, "cancelled already", ctx, 3, 0, context.Canceled)
}

// TestWaitOrder has waiters of two processes wait: in order, and at the rate.
func TestWaitOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := redistest.Mini(t)
		var lims [2]*semaphore.Limiter
		for i := range lims {
			lims[i] = semaphore.NewLimiter(redistest.MiniClient(t, m), "key", 10, 1)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := lims[i%2].Wait(t.Context()); err != nil {
					t.Error(err)
				}
				if got := time.Since(start); got != time.Duration(i)*d {
					t.Errorf("waiter %d went at %v", i, got)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

// TestLimiterTrace takes tokens in each way that there is: each request ends with Acquired or Failed.
func TestLimiterTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r redistest.Record[semaphore.Event]
		var delays []time.Duration
		rdb := bubbleClient(t)
		var outage redistest.Outage
		rdb.AddHook(&outage)
		lim := semaphore.NewLimiter(rdb, "key", 1, 2)
		lim.Trace = (*semaphore.Trace)(r.Trace())
		note := lim.Trace.Waiting
		lim.Trace.Waiting = func(ctx context.Context, e semaphore.Event) { delays = append(delays, e.Delay); note(ctx, e) }
		ctx, cancel := context.WithCancel(t.Context())
		r.CheckTake(t, "nothing")
		lim.AllowN(2)
		r.CheckTake(t, "Allow", "2 acquired immediate")
		lim.Allow()
		r.CheckTake(t, "Allow of nothing", "failed <nil>")
		if err := lim.Wait(ctx); err != nil {
			t.Error(err)
		}
		r.CheckTake(t, "Wait", "waiting", "acquired reserved")
		if err := <-lim.WaitChan(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		r.CheckTake(t, "WaitChan", "waiting", "acquired reserved")
		if len(delays) != 2 || delays[0] != time.Second || delays[1] != time.Second || r.Waited() != time.Second {
			t.Errorf("the delays are %v, the last wait is %v", delays, r.Waited())
		}
		err := lim.WaitN(ctx, 3)
		r.CheckTake(t, "more than the burst", "3 failed "+err.Error())
		outage.Set(true)
		_, err = lim.AllowContext(ctx)
		r.CheckTake(t, "an outage", "error take", "failed "+err.Error())
		outage.Set(false)
		unreceived := lim.WaitChan(ctx)
		time.Sleep(2 * time.Second)
		r.CheckTake(t, "a result that nobody has received", "waiting", "acquired reserved")
		cancel()
		synctest.Wait()
		r.CheckTake(t, "and that is refunded", "released <nil>")
		if err := <-unreceived; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		err = lim.Wait(ctx)
		r.CheckTake(t, "a ctx that has ended", "failed "+err.Error())
		if err := semaphore.NewLimiter(rdb, "", 1, 1).Wait(t.Context()); err == nil {
			t.Error("an empty key")
		}
		time.Sleep(time.Minute)
	})
}
