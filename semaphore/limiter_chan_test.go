package semaphore_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestWaitChan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 1)
		start := time.Now()
		for i := range 4 {
			ctx := t.Context()
			if i == 3 {
				ctx = context.Background()
			}
			c := lim.WaitChan(ctx)
			if err := <-c; err != nil {
				t.Error(err)
			}
			if got := time.Since(start); got != time.Duration(i)*d {
				t.Errorf("event %d at %v", i, got)
			}
			select {
			case err, ok := <-c:
				t.Errorf("a second value: %v, %t", err, ok)
			case <-time.After(0):
			}
		}
	})
}

// TestWaitChanCancelled ends ctx before the turn, and after it before the receipt:
// the channel yields the cause, and the tokens are there for the next.
func TestWaitChanCancelled(t *testing.T) {
	why := errors.New("why")
	for name, after := range map[string]time.Duration{"at once": 0, "before its turn": 5 * time.Second, "before its receipt": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lim := limiter(t, 0.1, 1)
				start := time.Now()
				lim.Allow()
				ctx, cancel := context.WithCancelCause(t.Context())
				c := lim.WaitChan(ctx) // after ten seconds
				time.Sleep(after)
				cancel(why)
				synctest.Wait() // what lies in the channel takes a moment to be taken back
				if err := <-c; !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
					t.Errorf("the channel yields %v", err)
				}
				if err := lim.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				if got := time.Since(start); got != max(10*time.Second, after) {
					t.Errorf("the next went at %v", got)
				}
			})
		})
	}
}

// TestWaitChanReceived ends ctx after the receipt: the event has happened.
func TestWaitChanReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 0.001, 1)
		ctx, cancel := context.WithCancel(t.Context())
		if err := <-lim.WaitChan(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if lim.Allow() {
			t.Error("the token came back")
		}
	})
}

// TestWaitChanRefused has what fails at once.
func TestWaitChanRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 1, 1)
		lim.Allow()
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		start := time.Now()
		if err := <-lim.WaitChan(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		cancel()
		if err := <-lim.WaitChan(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-semaphore.NewLimiter(nil, "key", 1, 1).WaitChan(t.Context()); err == nil {
			t.Error("a nil client waits")
		}
	})
}

// TestWaitChanGoroutines has many wait: none has a goroutine.
func TestWaitChanGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		lim.Allow()
		before := runtime.NumGoroutine()
		var all []<-chan error
		for range 300 {
			all = append(all, lim.WaitChan(ctx))
			synctest.Wait() // so that one connection serves for all
		}
		if n := runtime.NumGoroutine() - before; n > 10 {
			t.Errorf("%d goroutines", n)
		}
		cancel()
		for _, c := range all {
			if err := <-c; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
	})
}

// watched is a ctx that knows how many wait for its end.
type watched struct {
	context.Context
	hooks atomic.Int32
}

func (w *watched) AfterFunc(f func()) (stop func() bool) {
	w.hooks.Add(1)
	stop = context.AfterFunc(w.Context, f)
	return func() bool {
		w.hooks.Add(-1)
		return stop()
	}
}

// TestWaitChanLeavesCtx uses a ctx that lives long for many waits: what was
// received leaves nothing behind there, though it was received late.
func TestWaitChanLeavesCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := limiter(t, 10, 1)
		ctx := &watched{Context: t.Context()}
		for i := range 100 {
			c := lim.WaitChan(ctx)
			time.Sleep(time.Duration(i%7) * d)
			if err := <-c; err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := ctx.hooks.Load(); n != 0 {
			t.Errorf("%d watches stay", n)
		}
	})
}
