package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

var errF = errors.New("f failed")

func nothing(context.Context) error { return nil }

// newOnce is for eachPair.
func newOnce(rdb redis.UniversalClient) *mutex.Once { return mutex.NewOnce(rdb, "key") }

// runs calls do with an f that returns err, and checks whether f was called.
func runs(t *testing.T, what string, do func(context.Context, func(context.Context) error) (bool, error), err error, want bool) {
	t.Helper()
	called := false
	ran, got := do(t.Context(), func(context.Context) error {
		called = true
		return err
	})
	if ran != want || called != want || want && !errors.Is(got, err) || !want && got != nil {
		t.Errorf("%s: ran %v (called: %v), %v; want %v, %v", what, ran, called, got, want, err)
	}
}

func done(t *testing.T, o *mutex.Once, want bool) {
	t.Helper()
	if got, err := o.Done(t.Context()); got != want || err != nil {
		t.Errorf("Done: %v, %v; want %v", got, err, want)
	}
}

func TestOnceRunsOnce(t *testing.T) {
	eachPair(t, newOnce, func(t *testing.T, rdb *redis.Client, a, b *mutex.Once) {
		a.Label = "a"
		if _, err := a.Last(t.Context()); !errors.Is(err, mutex.ErrNoRun) {
			t.Errorf("Last before a run: %v", err)
		}
		done(t, a, false)
		before := rdb.Time(t.Context()).Val()
		runs(t, "first", a.DoContext, nil, true)
		runs(t, "again", a.DoContext, nil, false)
		runs(t, "another process", b.DoContext, nil, false)
		runs(t, "a try", b.TryDo, nil, false)
		b.Do(func() { t.Error("Do calls f") })
		done(t, b, true)
		last, err := b.Last(t.Context())
		if err != nil || last.By.Label != "a" || last.Err != "" || last.Took < 0 || last.Start.Before(before.Truncate(time.Microsecond)) {
			t.Errorf("Last: %+v, %v", last, err)
		}
		if n := rdb.TTL(t.Context(), "baton:{key}:value").Val(); n != -1 {
			t.Errorf("the mark expires in %v", n)
		}
	})
}

// Of many concurrent callers one runs f, and the others return after the run.
func TestOnceOfManyRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, clients := redistest.MiniClients(t, 4)
		var calls, ran atomic.Int64
		var wg sync.WaitGroup
		for _, rdb := range clients {
			o := mutex.NewOnce(rdb, "key")
			for range 16 {
				wg.Go(func() {
					mine, err := o.DoContext(t.Context(), func(context.Context) error {
						calls.Add(1)
						time.Sleep(time.Second)
						return nil
					})
					must(err)
					if mine {
						ran.Add(1)
					} else if calls.Load() != 1 {
						t.Error("a waiter returned before the run")
					}
				})
			}
		}
		wg.Wait()
		if calls.Load() != 1 || ran.Load() != 1 {
			t.Errorf("%d calls of f, %d callers report a run", calls.Load(), ran.Load())
		}
	})
}

// After an error, Done is false, and the next waiter runs its own f.
func TestOnceErrorLeavesItUndone(t *testing.T) {
	eachPair(t, newOnce, func(t *testing.T, _ *redis.Client, a, b *mutex.Once) {
		next := make(chan error)
		runs(t, "the first", func(ctx context.Context, f func(context.Context) error) (bool, error) {
			return a.DoContext(ctx, func(ctx context.Context) error {
				go func() {
					ran, err := b.DoContext(t.Context(), nothing)
					if !ran {
						err = errors.Join(err, errors.New("the next waiter has not run f"))
					}
					next <- err
				}()
				awaitWaiters(t, a.Inspect, 1)
				return f(ctx)
			})
		}, errF, true)
		must(<-next)
		done(t, a, true)
		runs(t, "afterwards", a.DoContext, nil, false)
	})
}

func TestOnceLastReportsAFailure(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		o := mutex.NewOnce(rdb, "key")
		o.Keep = time.Hour
		long := strings.Repeat("x", 10_000)
		_, err := o.DoContext(t.Context(), func(context.Context) error { return fmt.Errorf("%w: %s", errF, long) })
		last, lastErr := o.Last(t.Context())
		if !errors.Is(err, errF) || lastErr != nil || !strings.HasPrefix(last.Err, errF.Error()) || len(last.Err) != 1000 {
			t.Errorf("%v; Last: %+v, %v", err, last, lastErr)
		}
		done(t, o, false)
		if n := rdb.TTL(t.Context(), "baton:{key}:value").Val(); n <= 0 || n > time.Hour {
			t.Errorf("the record expires in %v", n)
		}
	})
}

func TestOncePanicLeavesItUndone(t *testing.T) {
	eachPair(t, newOnce, func(t *testing.T, _ *redis.Client, a, b *mutex.Once) {
		for name, do := range map[string]func(){
			"DoContext": func() { a.DoContext(t.Context(), func(context.Context) error { panic(errF) }) },
			"Do":        func() { a.Do(func() { panic(errF) }) },
		} {
			if v := panicOf(do); v != errF {
				t.Errorf("%s panics with %v", name, v)
			}
			if last, err := b.Last(t.Context()); err != nil || !strings.Contains(last.Err, "panicked") {
				t.Errorf("Last: %+v, %v", last, err)
			}
			done(t, b, false)
		}
		a.Do(func() { t.Error("Do called f twice in a process") })
		runs(t, "another process", b.DoContext, nil, true)
	})
}

func TestOnceTryDoDoesNotWait(t *testing.T) {
	eachPair(t, newOnce, func(t *testing.T, _ *redis.Client, a, b *mutex.Once) {
		ran, err := a.TryDo(t.Context(), func(ctx context.Context) error {
			for name, o := range map[string]*mutex.Once{"the same process": a, "another process": b} {
				if ran, err := o.TryDo(ctx, nothing); ran || !errors.Is(err, mutex.ErrLocked) {
					t.Errorf("%s: %v, %v", name, ran, err)
				}
			}
			return nil
		})
		if !ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
		runs(t, "a try that finds the mark", b.TryDo, nil, false)
	})
}

func TestOnceResetMakesItUndone(t *testing.T) {
	eachPair(t, newOnce, func(t *testing.T, _ *redis.Client, a, b *mutex.Once) {
		a.Do(func() {})
		must(a.Reset(t.Context()))
		done(t, b, false)
		again := false
		a.Do(func() { again = true })
		if !again {
			t.Error("Do does not call f after Reset")
		}
		must(b.Reset(t.Context()))

		// A run that began before the reset leaves no mark.
		ran, err := a.DoContext(t.Context(), func(ctx context.Context) error { return b.Reset(ctx) })
		if !ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
		done(t, a, false)
		runs(t, "after the run", b.DoContext, nil, true)
	})
}

// The loss of the lock cancels the ctx of the run. The run then leaves no mark.
func TestOnceLostRunnerCannotMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := mutex.NewOnce(rdb, "key"), mutex.NewOnce(sibling(t, rdb), "key")
		b.Label = "b"
		ran, err := a.DoContext(t.Context(), func(ctx context.Context) error {
			must(rdb.Del(ctx, "key").Err())
			runs(t, "the next run", b.DoContext, errF, true)
			<-ctx.Done()
			if context.Cause(ctx) != mutex.ErrLost {
				t.Errorf("the ctx ends with %v", context.Cause(ctx))
			}
			return nil
		})
		if !ran || !errors.Is(err, mutex.ErrLost) {
			t.Errorf("%v, %v", ran, err)
		}
		done(t, a, false)
		if last, err := a.Last(t.Context()); err != nil || last.By.Label != "b" {
			t.Errorf("Last: %+v, %v", last, err)
		}
	})
}

func TestLeaseFromContext(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		var fences []int64
		f := func(ctx context.Context) error {
			l := mutex.LeaseFromContext(ctx)
			if l.Err() != nil || l.Remaining() <= 0 {
				t.Errorf("the lease is not held: %v", l.Err())
			}
			fences = append(fences, l.Fence())
			return errF
		}
		if ran, err := newOnce(rdb).DoContext(t.Context(), f); !ran || !errors.Is(err, errF) {
			t.Errorf("a run: %v, %v", ran, err)
		}
		_, _, _ = mutex.NewFlight(rdb, "").Do(t.Context(), "key", func(ctx context.Context) ([]byte, error) { return nil, f(ctx) })
		if len(fences) != 2 || fences[0] <= 0 || fences[1] <= fences[0] {
			t.Errorf("fences %v", fences)
		}
		if l := mutex.LeaseFromContext(t.Context()); l != nil {
			t.Errorf("another ctx contains the lease %v", l)
		}
	})
}

// DoContext returns when its ctx ends, and leaves no waiter.
func TestOnceWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := mutex.NewOnce(rdb, "key"), mutex.NewOnce(sibling(t, rdb), "key")
		_, err := a.DoContext(t.Context(), func(context.Context) error {
			for _, o := range []*mutex.Once{a, b} { // a waits in its process, b in Redis
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(errF) })
				if ran, err := o.DoContext(ctx, nothing); ran || !errors.Is(err, context.Canceled) || !errors.Is(err, errF) {
					t.Errorf("%v, %v", ran, err)
				}
				if s, err := o.Inspect(t.Context()); err != nil || s.Waiters != 0 {
					t.Errorf("%+v, %v", s, err)
				}
			}
			return nil
		})
		must(err)
	})
}

func TestOnceMarkIsKeptForKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := mutex.NewOnce(bubbleClient(t), "key")
		o.Keep = time.Minute
		runs(t, "first", o.DoContext, nil, true)
		time.Sleep(59 * time.Second)
		runs(t, "within Keep", o.DoContext, nil, false)
		time.Sleep(2 * time.Second)
		runs(t, "after Keep", o.DoContext, nil, true)
		time.Sleep(2 * time.Minute)
		if _, err := o.Last(t.Context()); !errors.Is(err, mutex.ErrNoRun) {
			t.Errorf("Last after Keep: %v", err)
		}
	})
}

// The interval counts from the start of the run. Last reports the run after the interval.
func TestOnceEveryCountsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := mutex.NewOnce(bubbleClient(t), "key")
		o.Every = time.Minute
		slow := func(context.Context) error {
			time.Sleep(50 * time.Second)
			return nil
		}
		if ran, err := o.DoContext(t.Context(), slow); !ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
		time.Sleep(9 * time.Second)
		runs(t, "59 s after the start", o.DoContext, nil, false)
		done(t, o, true)
		time.Sleep(2 * time.Second)
		done(t, o, false)
		if last, err := o.Last(t.Context()); err != nil || last.Took < 50*time.Second {
			t.Errorf("Last: %+v, %v", last, err)
		}
		calls := 0
		o.Do(func() { calls++ })
		o.Do(func() { calls++ })
		time.Sleep(time.Minute)
		o.Do(func() { calls++ })
		if calls != 2 {
			t.Errorf("Do called f %d times in two intervals", calls)
		}
	})
}

// Sixteen processes try for an hour, with different clocks, and some runs fail. One run succeeds in
// each interval.
func TestOnceEveryOfManyProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const every, hour = time.Minute, time.Hour
		rdb := bubbleClient(t)
		ctx, cancel := context.WithTimeout(t.Context(), hour)
		defer cancel()
		var mu sync.Mutex
		var starts []time.Time
		failed := 0
		var wg sync.WaitGroup
		for i := range 16 {
			o := mutex.NewOnce(sibling(t, rdb), "key")
			o.Every = every
			wg.Go(func() {
				time.Sleep(rand.N(10 * time.Second)) // clocks differ by up to 10 s
				for tick := time.NewTicker(15*time.Second + time.Duration(i)*time.Millisecond); ctx.Err() == nil; {
					_, err := o.DoContext(ctx, func(context.Context) error {
						start := time.Now()
						time.Sleep(time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						if rand.N(3) == 0 {
							failed++
							return errF
						}
						starts = append(starts, start)
						return nil
					})
					if err != nil && !errors.Is(err, errF) && ctx.Err() == nil {
						t.Error(err)
					}
					select {
					case <-tick.C:
					case <-ctx.Done():
					}
				}
			})
		}
		wg.Wait()
		for i := range len(starts) - 1 {
			if gap := starts[i+1].Sub(starts[i]); gap < every-time.Millisecond || gap > every+16*time.Second { // one tick
				t.Errorf("runs %d and %d started %v apart", i, i+1, gap)
			}
		}
		if n := len(starts); n < 48 || n > 60 {
			t.Errorf("%d runs in an hour", n)
		}
		t.Logf("%d runs, %d failures", len(starts), failed)
	})
}

// A value that is not of a Once is an error until Reset.
func TestOnceOfAForeignValue(t *testing.T) {
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	fl := mutex.NewFlight(rdb, "")
	fl.Keep = time.Hour
	for _, text := range []string{"", "v", "1 2 3"} {
		if _, _, err := fl.Do(t.Context(), "key", value(text)); err != nil {
			t.Fatal(err)
		}
		o := mutex.NewOnce(rdb, "key")
		ran, err := o.DoContext(t.Context(), nothing)
		if done, doneErr := o.Done(t.Context()); ran || done || err == nil || doneErr == nil || !strings.Contains(err.Error(), "not of a Once") {
			t.Errorf("%q: ran %v, %v; done %v, %v", text, ran, err, done, doneErr)
		}
		must(o.Reset(t.Context()))
		runs(t, text, o.DoContext, nil, true)
		must(o.Reset(t.Context()))
	}
}

// A call ignores the value that came with a grant that was too late, because other processes may have
// run f in between. Its next grant comes without a value, because a second caller waits.
func TestOnceReadsAgainAfterALateGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		late, behind, other := mutex.NewOnce(rdb, "key"), mutex.NewOnce(rdb, "key"), mutex.NewOnce(sibling(t, rdb), "key")
		away := redistest.NewOutage(rdb)
		var armed atomic.Bool
		armed.Store(true)
		rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			err := next(ctx, cmd)
			if err == nil && armed.CompareAndSwap(true, false) {
				away.Set(true) // for all other requests
				time.Sleep(late.TTL + time.Second)
				away.Set(false)
			}
			return err
		}))
		var waiters sync.WaitGroup
		for _, o := range []*mutex.Once{late, behind} {
			waiters.Go(func() { runs(t, "a late call", o.DoContext, nil, false) })
			synctest.Wait()
		}
		runs(t, "another process", other.DoContext, nil, true) // when the late grant has expired
		waiters.Wait()
	})
}

func TestOnceWaitsOutAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := redistest.NewOutage(rdb)
		o := mutex.NewOnce(rdb, "key")
		away.Set(true)
		if ran, err := o.TryDo(t.Context(), nothing); ran || err == nil || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try: %v, %v", ran, err)
		}
		time.AfterFunc(30*time.Second, func() { away.Set(false) })
		runs(t, "a call", o.DoContext, nil, true)
		done(t, o, true)

		// A run that ends during an outage leaves its mark after the outage.
		must(o.Reset(t.Context()))
		ran, err := o.DoContext(t.Context(), func(context.Context) error {
			away.Set(true)
			time.AfterFunc(5*time.Second, func() { away.Set(false) })
			return nil
		})
		if !ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
		done(t, o, true)
	})
}

// A call that waits for another run does not get the lock. It ends with a Failed event: ErrValueFound.
func TestOnceTraceOfAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		first, second := newOnce(rdb), newOnce(sibling(t, rdb))
		var failed []error
		second.Trace = &mutex.Trace{Failed: func(_ context.Context, e mutex.Event) { failed = append(failed, e.Err) }}
		var wait sync.WaitGroup
		runs(t, "the first call", func(ctx context.Context, f func(context.Context) error) (bool, error) {
			return first.DoContext(ctx, func(ctx context.Context) error {
				wait.Go(func() { runs(t, "the second call", second.DoContext, nil, false) })
				time.Sleep(time.Second)
				return f(ctx)
			})
		}, nil, true)
		wait.Wait()
		synctest.Wait()
		if len(failed) != 1 || !errors.Is(failed[0], mutex.ErrValueFound) {
			t.Errorf("Failed events: %v", failed)
		}
	})
}
