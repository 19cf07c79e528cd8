package semaphore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
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

// TestLimiterSelect runs 4,000 selects over WaitChan, of which some are received,
// some time out, some are cancelled at a random instant, and some are abandoned.
// No more events happen than the limit lets through, each channel yields one value,
// and afterwards there is no goroutine, and no key that stays.
func TestLimiterSelect(t *testing.T) {
	s := redistest.Start(t)
	before := runtime.NumGoroutine()
	const clients, loops, rate, burst = 4, 8, 2000, 20
	selects := 4000 / clients / loops
	if testing.Short() {
		selects /= 20
	}
	var events, refused atomic.Int64
	var wg, cleanup sync.WaitGroup
	start := time.Now()
	rdbs := make([]*redis.Client, clients)
	for i := range rdbs {
		rdbs[i] = redis.NewClient(s.Options())
		lim := semaphore.NewLimiter(rdbs[i], "key", rate, burst)
		for range loops {
			wg.Go(func() {
				for range selects {
					ctx, cancel := context.WithCancel(context.Background())
					c := lim.WaitChan(ctx)
					use := func(err error) {
						if err == nil {
							events.Add(1)
						} else if refused.Add(1); !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						cancel()
						select {
						case err := <-c:
							t.Errorf("a second value: %v", err)
						default:
						}
					}
					switch rand.IntN(10) {
					case 0: // cancelled at a random instant, perhaps while it is received
						time.AfterFunc(rand.N(8*time.Millisecond), cancel)
						use(<-c)
					case 1: // times out, and is not looked at again
						select {
						case err := <-c:
							use(err)
						case <-time.After(rand.N(8 * time.Millisecond)):
							cancel()
						}
					case 2: // times out, and is looked at again
						select {
						case err := <-c:
							use(err)
						case <-time.After(rand.N(8 * time.Millisecond)):
							cancel()
							use(<-c)
						}
					case 3: // abandoned for a while
						cleanup.Go(func() {
							time.Sleep(rand.N(20 * time.Millisecond))
							cancel()
							use(<-c)
						})
					default:
						use(<-c)
					}
				}
			})
		}
	}
	wg.Wait()
	cleanup.Wait()
	took := time.Since(start)
	t.Logf("%d events and %d refused in %v", events.Load(), refused.Load(), took)
	if most := burst + int64(took.Seconds()*rate) + 1; events.Load() > most {
		t.Errorf("%d events in %v, at most %d are allowed", events.Load(), took, most)
	}
	if events.Load() == 0 || refused.Load() == 0 {
		t.Error("that is no random select")
	}
	for _, key := range s.Keys(t) {
		if left := s.Do(t, "PTTL", key).(int64); left == -1 || left > 16000 {
			t.Errorf("%s expires in %d ms", key, left)
		}
	}
	for _, rdb := range rdbs {
		rdb.Close()
	}
	redistest.Eventually(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before }, "a goroutine stays")
}
