package mutex_test

import (
	"context"
	"errors"
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

// Of all callers one runs f, and the others return after the run.
func TestOnceRunsOnce(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := newOnce(rdb), newOnce(sibling(t, rdb))
		a.Label = "a"
		if _, err := a.Last(t.Context()); !errors.Is(err, mutex.ErrNoRun) {
			t.Errorf("Last before a run: %v", err)
		}
		done(t, a, false)
		before := rdb.Time(t.Context()).Val()
		var others sync.WaitGroup
		var ended atomic.Bool
		ran, err := a.DoContext(t.Context(), func(ctx context.Context) error {
			for name, o := range map[string]*mutex.Once{"the same process": a, "another process": b} {
				if ran, err := o.TryDo(ctx, nothing); ran || !errors.Is(err, mutex.ErrLocked) {
					t.Errorf("a try during the run, in %s: %v, %v", name, ran, err)
				}
				for range 16 {
					others.Go(func() {
						if runs(t, name, o.DoContext, nil, false); !ended.Load() {
							t.Errorf("%s: DoContext returned before the run", name)
						}
					})
				}
			}
			awaitWaiters(t, a.Inspect, 1)
			ended.Store(true)
			return nil
		})
		if !ran || err != nil {
			t.Errorf("the first: %v, %v", ran, err)
		}
		others.Wait()
		runs(t, "again", a.DoContext, nil, false)
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

// After an error or a panic, Done is false, Last has its text, and the next waiter runs its own f.
func TestOnceErrorLeavesItUndone(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Once) {
		a.Keep, b.Keep = time.Hour, time.Hour
		long := errors.New(strings.Repeat("x", 10_000))
		var next sync.WaitGroup
		runs(t, "the first", func(ctx context.Context, f func(context.Context) error) (bool, error) {
			return a.DoContext(ctx, func(ctx context.Context) error {
				next.Go(func() { runs(t, "the next waiter", b.DoContext, long, true) })
				awaitWaiters(t, a.Inspect, 1)
				return f(ctx)
			})
		}, errF, true)
		next.Wait()
		failed := func(what, text string, length int) {
			t.Helper()
			last, err := b.Last(t.Context())
			if err != nil || !strings.Contains(last.Err, text) || length > 0 && len(last.Err) != length {
				t.Errorf("after %s, Last: %+v, %v", what, last, err)
			}
			done(t, b, false)
		}
		failed("an error", "xxx", 1000)
		if n := rdb.TTL(t.Context(), "baton:{key}:value").Val(); n <= 0 || n > time.Hour {
			t.Errorf("the record expires in %v", n)
		}
		mustPanic(t, errF.Error(), func() { _, _ = a.DoContext(t.Context(), func(context.Context) error { panic(errF) }) })
		failed("a panic", "panicked", 0)

		a.Keep = 0
		mustPanic(t, errF.Error(), func() { a.Do(func() { panic(errF) }) })
		failed("a panic in Do", "panicked", 0)
		a.Do(func() { t.Error("Do called f twice in a process") })
		runs(t, "another process", b.DoContext, nil, true)
	})
}

// After Reset the Once is not done. A run that began before leaves no mark.
func TestOnceResetMakesItUndone(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Once) {
		a.Do(func() {})
		must(a.Reset(t.Context()))
		done(t, b, false)
		again := false
		a.Do(func() { again = true })
		if !again {
			t.Error("Do does not call f after Reset")
		}
		must(b.Reset(t.Context()))
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
	bubblePair(t, newOnce, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Once) {
		b.Label = "b"
		ran, err := a.DoContext(t.Context(), func(ctx context.Context) error {
			must(rdb.Del(ctx, "key").Err())
			runs(t, "the next run", b.DoContext, errF, true)
			<-ctx.Done()
			if l := mutex.LeaseFromContext(ctx); context.Cause(ctx) != mutex.ErrLost || !errors.Is(l.Err(), mutex.ErrLost) {
				t.Errorf("the ctx ends with %v, and the lease with %v", context.Cause(ctx), l.Err())
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
		if l := mutex.LeaseFromContext(t.Context()); l != nil {
			t.Errorf("another ctx has the lease %v", l)
		}
	})
}

// A try fails during an outage, and a call waits for its end. A run that ends during an outage leaves
// its mark after it.
func TestOnceThroughOutages(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Once) {
		away := redistest.NewOutage(rdb)
		outage := func(d time.Duration) {
			away.Set(true)
			time.AfterFunc(d, func() { away.Set(false) })
		}
		outage(time.Minute)
		if ran, err := a.TryDo(t.Context(), nothing); ran || err == nil || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try: %v, %v", ran, err)
		}
		for _, waits := range []bool{false, true} { // whether a goroutine of the process waits
			var others sync.WaitGroup
			ran, err := a.DoContext(t.Context(), func(context.Context) error {
				if waits {
					others.Go(func() { runs(t, "the other call", a.DoContext, nil, false) })
					synctest.Wait()
				}
				outage(mutex.DefaultTTL / 2)
				return nil
			})
			if !ran || err != nil {
				t.Errorf("a call: %v, %v", ran, err)
			}
			others.Wait()
			done(t, b, true)
			must(b.Reset(t.Context()))
		}
	})
}

// DoContext returns when its ctx ends, and leaves no waiter. A call that finds the mark after a wait
// ends with a Failed event: ErrValueFound.
func TestOnceWaitEndsWithItsContext(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Once) {
		var failed []error
		b.Trace = &mutex.Trace{Failed: func(_ context.Context, e mutex.Event) { failed = append(failed, e.Err) }}
		var wait sync.WaitGroup
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
			wait.Go(func() { runs(t, "a call that waits", b.DoContext, nil, false) })
			time.Sleep(time.Second)
			return nil
		})
		must(err)
		wait.Wait()
		synctest.Wait()
		if len(failed) != 2 || !errors.Is(failed[0], errF) || !errors.Is(failed[1], mutex.ErrValueFound) {
			t.Errorf("Failed events: %v", failed)
		}
	})
}

// Keep counts from the end of the run, and Every from its start. Last reports the run after Every.
func TestOnceEveryCountsFromTheStart(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, _, _ *redis.Client, kept, o *mutex.Once) {
		slow := func(context.Context) error {
			time.Sleep(50 * time.Second)
			return nil
		}
		kept.Keep, o.Every = time.Minute, time.Minute
		_, err := kept.DoContext(t.Context(), slow)
		must(err)
		time.Sleep(59 * time.Second)
		runs(t, "within Keep", kept.DoContext, nil, false)
		time.Sleep(2 * time.Second)
		done(t, kept, false)
		if _, err := kept.Last(t.Context()); !errors.Is(err, mutex.ErrNoRun) {
			t.Errorf("Last after Keep: %v", err)
		}

		_, err = o.DoContext(t.Context(), slow)
		must(err)
		time.Sleep(9 * time.Second)
		runs(t, "59 s after the start", o.DoContext, nil, false)
		done(t, o, true)
		time.Sleep(2 * time.Second)
		done(t, o, false)
		if last, err := o.Last(t.Context()); err != nil || last.Took < 50*time.Second {
			t.Errorf("Last: %+v, %v", last, err)
		}
		calls := 0
		for range 2 {
			o.Do(func() { calls++ })
			o.Do(func() { calls++ })
			time.Sleep(time.Minute)
		}
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
		const every, tick = time.Minute, 15 * time.Second
		rdb := bubbleClient(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var mu sync.Mutex
		var starts []time.Time
		var wg sync.WaitGroup
		for range 16 {
			o := newOnce(sibling(t, rdb))
			o.Every = every
			wg.Go(func() {
				time.Sleep(rand.N(10 * time.Second)) // clocks differ by up to 10 s
				for ; ctx.Err() == nil; time.Sleep(tick) {
					_, err := o.DoContext(ctx, func(context.Context) error {
						start := time.Now()
						time.Sleep(time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						if rand.N(3) == 0 {
							return errF
						}
						starts = append(starts, start)
						return nil
					})
					if err != nil && !errors.Is(err, errF) && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for i := range len(starts) - 1 {
			if gap := starts[i+1].Sub(starts[i]); gap < every-time.Millisecond || gap > every+tick+time.Second {
				t.Errorf("runs %d and %d started %v apart", i, i+1, gap)
			}
		}
		if n := len(starts); n < 48 || n > 60 {
			t.Errorf("%d runs in an hour", n)
		}
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
		o := newOnce(rdb)
		ran, err := o.DoContext(t.Context(), nothing)
		if done, doneErr := o.Done(t.Context()); ran || done || err == nil || doneErr == nil || !strings.Contains(err.Error(), "not of a Once") {
			t.Errorf("%q: ran %v, %v; done %v, %v", text, ran, err, done, doneErr)
		}
		must(o.Reset(t.Context()))
		runs(t, text, o.DoContext, nil, true)
		if _, _, err := fl.Do(t.Context(), "key", mustNotRun); err == nil || !strings.Contains(err.Error(), "not of this Flight") {
			t.Errorf("a Flight finds the mark: %v", err)
		}
		must(o.Reset(t.Context()))
	}
}

// A call ignores the value that came with a grant that was too late, because other processes may have
// run f in between. Its next grant comes without a value, because a second caller waits.
func TestOnceReadsAgainAfterALateGrant(t *testing.T) {
	bubblePair(t, newOnce, func(t *testing.T, rdb, _ *redis.Client, late, other *mutex.Once) {
		replyLate(rdb, func(redis.Cmder) bool { return true })
		var waiters sync.WaitGroup
		for _, o := range []*mutex.Once{late, newOnce(rdb)} {
			waiters.Go(func() { runs(t, "a late call", o.DoContext, nil, false) })
			synctest.Wait()
		}
		runs(t, "another process", other.DoContext, nil, true) // when the late grant has expired
		waiters.Wait()
	})
}
