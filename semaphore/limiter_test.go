package semaphore_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
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

// d is the unit of time of the tables, which are from x/time/rate.
const d = 100 * time.Millisecond

func limiter(t *testing.T, r semaphore.Limit, burst int) *semaphore.Limiter {
	t.Helper()
	return semaphore.NewLimiter(redistest.MiniClient(t, redistest.Mini(t)), "key", r, burst)
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
	if l := semaphore.NewLimiter(nil, "key", 10, 3); l.Limit() != 10 || l.Burst() != 3 {
		t.Errorf("%v, %v", l.Limit(), l.Burst())
	}
}

// Unlike in x/time/rate, a limit of 0 allows no burst. TestReserve has the tables of x/time/rate.
func TestAllow(t *testing.T) {
	for name, row := range map[string]struct {
		r       semaphore.Limit
		burst   int
		allowed []int // numbers of events at once, a token's time apart
		refused []int
	}{
		"burst 3": {10, 3, []int{3, 1, 1}, []int{4, 2, 1}},
		"limit 0": {0, 1, nil, []int{1}},
		"burst 0": {1, 0, nil, []int{1}},
		"Inf":     {semaphore.Inf, 0, []int{1000, 1000}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			lim := limiter(t, row.r, row.burst)
			for _, n := range row.allowed {
				if !lim.AllowN(n) {
					t.Errorf("%s: AllowN(%d) is false", name, n)
				}
				time.Sleep(d)
			}
			lim.AllowN(1)
			for _, n := range row.refused {
				if lim.AllowN(n) {
					t.Errorf("%s: AllowN(%d) is true", name, n)
				}
			}
		})
	}
}

// wait checks the error of WaitN, and that it takes delay × d.
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

// WaitN takes the tokens at once, and refunds them if ctx ends the wait.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 3)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		wait(t, lim, "cancelled already", ended, 1, 0, context.Canceled)
		if err := lim.WaitN(t.Context(), 4); err == nil || err.Error() != `baton: wait "key": 4 exceeds the burst of 3` {
			t.Error(err)
		}
		wait(t, lim, "act now", t.Context(), 2, 0, nil)
		wait(t, lim, "act later", t.Context(), 3, 2, nil)
		wait(t, lim, "with the background ctx", context.Background(), 3, 3, nil)

		lim = limiter(t, 10, 3)
		ctx, cancel := context.WithCancel(t.Context())
		must(<-lim.WaitChan(ctx))
		wait(t, lim, "act now", ctx, 1, 0, nil)
		time.AfterFunc(d, cancel) // refunds the 3 tokens, but not the 2 that are used
		wait(t, lim, "cancelled", ctx, 3, 1, context.Canceled)
		wait(t, lim, "act now after the cancellation", t.Context(), 2, 0, nil)
		wait(t, lim, "act later after the cancellation", t.Context(), 1, 1, nil)

		if err := limiter(t, 0, 1).Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "no events") {
			t.Errorf("Wait with a limit of 0: %v", err)
		}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		defer rdb.Close()
		lim = semaphore.NewLimiter(rdb, "key", semaphore.Inf, 0)
		wait(t, lim, "no request is sent", t.Context(), 3, 0, nil)
		wait(t, lim, "no request is sent", ended, 3, 0, context.Canceled)
		must(<-lim.WaitChan(t.Context()))
	})
}

// WaitChan needs no goroutine.
func TestWaitChanCostsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 1)
		lim.Allow()
		ctx, cancel := context.WithCancel(t.Context())
		before := redistest.Goroutines()
		var all []<-chan error
		for range 300 {
			all = append(all, lim.WaitChan(ctx))
			synctest.Wait() // to need one connection
		}
		if n := redistest.Goroutines() - before; n > 10 {
			t.Errorf("%d goroutines", n)
		}
		cancel()
		for _, c := range all {
			<-c
		}
	})
}

// Waits that are cancelled at any time do not allow more events than the limit.
func TestLimiterSelect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst = 200, 20
		_, clients := redistest.MiniClients(t, 4)
		var events, refused atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 32 {
			lim := semaphore.NewLimiter(clients[i%4], "key", rate, burst)
			wg.Go(func() {
				for range 50 {
					ctx, cancel := context.WithCancel(context.Background())
					c := lim.WaitChan(ctx)
					switch rand.IntN(4) {
					case 0:
						time.AfterFunc(rand.N(200*time.Millisecond), cancel)
					case 1: // a late receive
						time.Sleep(rand.N(200 * time.Millisecond))
						cancel()
					}
					if err := <-c; err == nil {
						events.Add(1)
					} else if refused.Add(1); !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		if most := burst + int64(time.Since(start).Seconds()*rate) + 1; events.Load() > most || events.Load() == 0 || refused.Load() == 0 {
			t.Errorf("%d events and %d refused, at most %d are allowed", events.Load(), refused.Load(), most)
		}
	})
}

// A call costs one request, with or without a wait. An impossible call costs none. Only the last wait
// leaves a reservation.
func TestLimiterCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 1)
		lim := semaphore.NewLimiter(all[0], "key", 200, 10)
		lim.Allow() // the server learns the script
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		c.CheckCost(t, "20 tries and 20 waits", 40, 0, func() {
			for range 20 {
				lim.Allow()
				must(lim.Wait(t.Context()))
			}
		})
		if left := all[0].Keys(t.Context(), "baton:{key}:*").Val(); len(left) != 1 {
			t.Errorf("%d keys are left: %v", len(left), left)
		}
		c.CheckCost(t, "20 in channels", 20, 0, func() {
			for range 20 {
				must(<-lim.WaitChan(t.Context()))
			}
		})
		c.CheckCost(t, "impossible calls", 0, 0, func() {
			if lim.AllowN(11) || lim.WaitN(t.Context(), 11) == nil || lim.Wait(ended) == nil || <-lim.WaitChan(ended) == nil {
				t.Error("an impossible call succeeds")
			}
		})
		time.Sleep(time.Second)
		lim.AllowN(10)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		c.CheckCost(t, "waits that are too long", 2, 0, func() {
			if lim.WaitN(short, 10) == nil || <-lim.WaitChan(short) == nil {
				t.Error("a wait succeeds")
			}
		})
	})
}

// Each request for tokens ends with Acquired or Failed.
func TestLimiterTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r redistest.Record[semaphore.Event]
		var delays []time.Duration
		rdb := bubbleClient(t)
		outage := redistest.NewOutage(rdb)
		lim := semaphore.NewLimiter(rdb, "key", 1, 2)
		lim.Trace = (*semaphore.Trace)(r.Trace())
		record := lim.Trace.Waiting
		lim.Trace.Waiting = func(ctx context.Context, e semaphore.Event) { delays = append(delays, e.Delay); record(ctx, e) }
		ctx, cancel := context.WithCancel(t.Context())
		r.CheckTake(t, "nothing")
		lim.AllowN(2)
		r.CheckTake(t, "Allow", "2 acquired immediate")
		lim.Allow()
		r.CheckTake(t, "Allow without tokens", "failed <nil>")
		must(lim.Wait(ctx))
		r.CheckTake(t, "Wait", "waiting", "acquired reserved")
		must(<-lim.WaitChan(ctx))
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
		r.CheckTake(t, "a result that is not received", "waiting", "acquired reserved")
		cancel()
		synctest.Wait()
		r.CheckTake(t, "its refund", "released <nil>")
		if err := <-unreceived; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		err = lim.Wait(ctx)
		r.CheckTake(t, "a done ctx", "failed "+err.Error())
		time.Sleep(time.Minute)
	})
}
