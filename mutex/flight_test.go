package mutex_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func value(b string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(b), nil }
}

func fail(err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return nil, err }
}

func mustNotRun(context.Context) ([]byte, error) { panic("f was called") }

// gets checks the results of Do.
func gets(t *testing.T, what string, fl *mutex.Flight, f func(context.Context) ([]byte, error), want string, wantShared bool) {
	t.Helper()
	if got, shared, err := fl.Do(t.Context(), "1", f); got == nil || string(got) != want || shared != wantShared || err != nil {
		t.Errorf("%s: %.20q, shared %v, %v; want %.20q, %v", what, got, shared, err, want, wantShared)
	}
}

func flight(rdb redis.UniversalClient) *mutex.Flight {
	fl := mutex.NewFlight(rdb, "price:")
	fl.Keep = time.Hour
	return fl
}

func inspectOne(fl *mutex.Flight) func(context.Context) (mutex.Status, error) {
	return func(ctx context.Context) (mutex.Status, error) { return fl.Inspect(ctx, "1") }
}

func TestFlightKeepsItsValue(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := flight(rdb), flight(sibling(t, rdb))
		a.Stale = math.MaxInt64 // Keep plus the longest Stale exceeds the longest duration
		gets(t, "the first", a, value("v"), "v", false)
		gets(t, "again", a, mustNotRun, "v", true)
		gets(t, "another process", b, mustNotRun, "v", true)
		large := string(bytes.Repeat([]byte("\xff\x00\r\n"), mutex.MaxValueSize/4))
		for _, v := range []string{"", large} {
			must(b.Forget(t.Context(), "1"))
			gets(t, "after Forget", b, value(v), v, false)
			gets(t, "kept", a, mustNotRun, v, true)
		}
		if n := rdb.TTL(t.Context(), "baton:{price:1}:value").Val(); n <= 0 || n > time.Hour {
			t.Errorf("the value expires in %v", n)
		}
		if got, _, err := a.Do(t.Context(), "2", value(large+"x")); !errors.Is(err, mutex.ErrValueTooLarge) || got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// Without Keep, concurrent callers share a run, and a later caller has its own. Only the callers of the
// same process get an error: the next waiting process calls its own f.
func TestFlightOfConcurrentCallers(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Flight) {
		a.Keep, b.Keep = 0, 0
		for _, failure := range []error{nil, errF} {
			var overlapping <-chan mutex.FlightResult
			got, shared, err := a.Do(t.Context(), "1", func(ctx context.Context) ([]byte, error) {
				own := mustNotRun
				if failure != nil {
					own = value("v")
				}
				overlapping = b.DoChan(t.Context(), "1", own)
				time.Sleep(time.Second)
				return []byte("v"), failure
			})
			time.Sleep(time.Second)
			if string(got) != "v" || shared || err != failure {
				t.Errorf("%q, %v, %v", got, shared, err)
			}
			if r := <-overlapping; string(r.Val) != "v" || r.Shared != (failure == nil) || r.Err != nil {
				t.Errorf("a concurrent call: %+v", r)
			}
			gets(t, "a later call", b, value("w"), "w", false)
		}
	})
}

// The NotFound error is kept like a value, for KeepNotFound.
func TestFlightKeepsNotFound(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Flight) {
		errNone := errors.New("none")
		for _, fl := range []*mutex.Flight{a, b} {
			fl.Stale, fl.NotFound, fl.KeepNotFound = time.Hour, errNone, 10*time.Second
		}
		if _, _, err := a.Do(t.Context(), "1", fail(fmt.Errorf("of 1: %w", errNone))); !errors.Is(err, errNone) || err == errNone {
			t.Errorf("the caller of f: %v", err)
		}
		for _, fl := range []*mutex.Flight{a, b} {
			if b, shared, err := fl.Do(t.Context(), "1", mustNotRun); b != nil || !shared || err != errNone {
				t.Errorf("%q, %v, %v", b, shared, err)
			}
		}
		time.Sleep(10 * time.Second) // Stale does not apply to NotFound
		gets(t, "later", b, value("v"), "v", false)
		gets(t, "kept", a, mustNotRun, "v", true)
	})
}

// Callers get a stale value at once, while one process makes a new value in the background.
func TestFlightServesAStaleValueDuringARefresh(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Flight) {
		a.Stale, b.Stale = time.Hour, time.Hour
		gets(t, "the first", a, value("old"), "old", false)
		time.Sleep(time.Hour)
		refresh := func(context.Context) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return []byte("new"), nil
		}
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		if got, shared, err := a.Do(ctx, "1", refresh); string(got) != "old" || !shared || err != nil {
			t.Errorf("%q, %v, %v", got, shared, err)
		}
		cancel() // the refresh goes on
		gets(t, "in the same process", a, mustNotRun, "old", true)
		gets(t, "in another", b, mustNotRun, "old", true)
		if r := <-a.DoChan(t.Context(), "1", mustNotRun); string(r.Val) != "old" {
			t.Errorf("%+v", r)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the calls took %v", took)
		}
		time.Sleep(11 * time.Second)
		gets(t, "after the refresh", b, mustNotRun, "new", true)

		// After a failed refresh, the next caller begins another.
		time.Sleep(time.Hour)
		gets(t, "during a refresh that fails", b, fail(errF), "new", true)
		synctest.Wait()
		gets(t, "after the failed refresh", a, value("newer"), "new", true)
		synctest.Wait()
		gets(t, "after the second refresh", b, mustNotRun, "newer", true)

		time.Sleep(2 * time.Hour)
		gets(t, "after Stale", a, value("last"), "last", false)
	})
}

// A caller's ctx ends its own wait. The run, which has the values of the first caller's ctx, and a lease,
// ends when no caller waits for it.
func TestFlightContextEndsItsOwnWait(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, fl, _ *mutex.Flight) {
		type key struct{}
		first, cancelFirst := context.WithCancel(context.WithValue(t.Context(), key{}, "its values"))
		second, cancelSecond := context.WithCancelCause(t.Context())
		ended, one := make(chan error, 1), make(chan error)
		go func() {
			_, _, err := fl.Do(first, "1", func(ctx context.Context) ([]byte, error) {
				if l := mutex.LeaseFromContext(ctx); ctx.Value(key{}) != "its values" || l.Err() != nil || l.Fence() <= 0 {
					t.Errorf("the ctx has the values %v, and the lease %v", ctx.Value(key{}), l)
				}
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			})
			one <- err
		}()
		synctest.Wait()
		other := fl.DoChan(second, "1", mustNotRun)
		cancelFirst()
		if err := <-one; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Error("the run has ended")
		}
		cancelSecond(errF)
		if r := <-other; !errors.Is(r.Err, errF) || r.Val != nil {
			t.Errorf("the second: %+v", r)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the run: %v", err)
		}
		gets(t, "a later caller", fl, value("v"), "v", false)
	})
}

// After Forget, the value of a run that began before is not kept, and later callers do not get it.
func TestFlightForgetDuringARun(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Flight) {
		var here, there <-chan mutex.FlightResult
		gets(t, "the first", a, func(ctx context.Context) ([]byte, error) {
			must(b.Forget(ctx, "1"))
			must(a.Forget(ctx, "1"))
			here = a.DoChan(t.Context(), "1", value("new"))
			there = b.DoChan(t.Context(), "1", value("new"))
			awaitWaiters(t, inspectOne(a), 1)
			return []byte("old"), nil
		}, "old", false)
		for _, ch := range []<-chan mutex.FlightResult{here, there} {
			if r := <-ch; string(r.Val) != "new" || r.Err != nil {
				t.Errorf("a later caller: %+v", r)
			}
		}
		gets(t, "kept", a, mustNotRun, "new", true)
	})
}

// If the lock is lost, the callers get the value, but it is not kept.
func TestFlightKeepsNothingOfALostRun(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Flight) {
		gets(t, "the first", a, func(ctx context.Context) ([]byte, error) {
			must(rdb.Del(ctx, "price:1").Err())
			gets(t, "the next process", b, value("new"), "new", false)
			return []byte("old"), nil
		}, "old", false)
		gets(t, "kept", a, mustNotRun, "new", true)
	})
}

// If the process of a run loses its connection, one waiting process runs f.
func TestFlightOfADeadProcessIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, clients := redistest.MiniClients(t, 4)
		away := redistest.NewOutage(clients[0])
		var runs atomic.Int64
		var results []<-chan mutex.FlightResult
		_, _, err := flight(clients[0]).Do(t.Context(), "1", func(ctx context.Context) ([]byte, error) {
			for _, rdb := range clients[1:] {
				fl := flight(rdb)
				for range 10 {
					results = append(results, fl.DoChan(t.Context(), "1", func(context.Context) ([]byte, error) {
						runs.Add(1)
						return []byte("v"), nil
					}))
				}
			}
			time.Sleep(time.Second)
			away.Set(true)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		if !errors.Is(err, mutex.ErrLost) {
			t.Errorf("the process without a connection: %v", err)
		}
		for _, ch := range results {
			if r := <-ch; string(r.Val) != "v" || r.Err != nil {
				t.Errorf("got %+v", r)
			}
		}
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
		away.Set(false)
	})
}

// A panic reaches all callers of Do in the process. The next process runs its own f.
func TestFlightPanicReachesItsCallers(t *testing.T) {
	bubblePair(t, flight, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Flight) {
		recovered := make(chan any, 2)
		do := func(f func(context.Context) ([]byte, error)) {
			recovered <- panicOf(func() { a.Do(t.Context(), "1", f) })
		}
		var next <-chan mutex.FlightResult
		do(func(context.Context) ([]byte, error) {
			go do(mustNotRun)
			next = b.DoChan(t.Context(), "1", value("v"))
			time.Sleep(time.Second)
			panic(errF)
		})
		for range 2 {
			err, _ := (<-recovered).(error)
			if !errors.Is(err, errF) || !strings.Contains(err.Error(), "flight_test.go") {
				t.Errorf("recovered %v", err)
			}
		}
		if r := <-next; string(r.Val) != "v" || r.Err != nil {
			t.Errorf("the next process: %+v", r)
		}
	})
}
