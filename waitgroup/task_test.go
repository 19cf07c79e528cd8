package waitgroup_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Do returns what its task returns. A task with an error is done all the same, and so is one of Go that
// ends its goroutine, as with sync.
func TestDo(t *testing.T) {
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		failed := errors.New("no more paper")
		var c <-chan error
		if err := of("key", 0).Do(t.Context(), func(ctx context.Context) error {
			c = of("key", 1).WaitChan(t.Context())
			_, err := of("key", 2).Inspect(ctx)
			goesOn(t, "a task that runs", c)
			return errors.Join(failed, err)
		}); !errors.Is(err, failed) {
			t.Errorf("Do: %v", err)
		}
		must(ends(t, "the wait", c))
		for i := range 10 {
			of("key", i).Go(runtime.Goexit)
		}
		must(of("key", 3).WaitContext(t.Context()))
	})
}

// A task of Do that panics, or ends its goroutine, is abandoned at once, and its panic is not lost.
func TestDoPanic(t *testing.T) {
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		do := func(f func()) (panicked any) {
			ended := make(chan any)
			go func() {
				defer func() { ended <- recover() }()
				_ = of("key", 0).Do(t.Context(), func(context.Context) error { f(); return nil })
			}()
			return <-ended
		}
		if x := do(func() { panic("on fire") }); x != "on fire" {
			t.Errorf("recovered %v", x)
		}
		lost(t, "a panic", of("key", 1).WaitContext(t.Context()), 1)
		do(runtime.Goexit)
		func() { // Wait has no other way to say it
			defer func() {
				err, _ := recover().(error)
				lost(t, "Goexit", err, 1)
			}()
			of("key", 3).Wait()
		}()
		// The next generation knows nothing of that.
		of("key", 0).Go(func() {})
		must(of("key", 1).WaitContext(t.Context()))
	})
}

// What one adds others claim. Only the task is then done with it.
func TestClaim(t *testing.T) {
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		ctx := t.Context()
		_, err := of("key", 0).Claim(ctx)
		is(t, "to claim nothing", err, waitgroup.ErrNothingToClaim)
		of("key", 0).Add(3)
		all := of("key", 1).WaitChan(ctx)
		first, second := claim(t, of("key", 2)), claim(t, of("key", 3))
		of("key", 1).Done() // of what nobody has claimed
		_, err = of("key", 2).Claim(ctx)
		is(t, "to claim what is done", err, waitgroup.ErrNothingToClaim)
		is(t, "to be done with what was claimed", of("key", 0).DoneContext(ctx), waitgroup.ErrNegativeCounter)
		for _, task := range []*waitgroup.Task{first, second} {
			goesOn(t, "a group with tasks", all)
			if task.Err() != nil || task.Done() != nil {
				t.Errorf("the task: %v", task.Err())
			}
			is(t, "a second Done", task.Done(), waitgroup.ErrDone)
			is(t, "Err", task.Err(), waitgroup.ErrDone)
		}
		must(ends(t, "the group", all))
	})
}

// A task is renewed for as long as its process lives. When that is cut off, it is told before others are.
func TestTaskLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		cut := sibling(t, rdb)
		var away redistest.Outage
		cut.AddHook(&away)
		here, there := waitgroup.New(rdb, "key"), waitgroup.New(cut, "key")
		there.TTL = 3 * time.Second
		here.Add(2)
		all := here.WaitChan(t.Context())
		ended, lives := claim(t, there), claim(t, there)
		time.Sleep(3 * time.Minute)
		must(ended.Done())
		ctx, stop := lives.Context(t.Context())
		defer stop()
		if len(all) > 0 || lives.Err() != nil || ctx.Err() != nil {
			t.Fatalf("after minutes: %v, %v", lives.Err(), ctx.Err())
		}
		away.Set(true)
		start := time.Now()
		<-ctx.Done()
		if took := time.Since(start); took > there.TTL || len(all) > 0 || context.Cause(ctx) != waitgroup.ErrLost {
			t.Errorf("told of %v after %v, others %d", context.Cause(ctx), took, len(all))
		}
		is(t, "Err", lives.Err(), waitgroup.ErrLost)
		lost(t, "the wait", <-all, 1)
		if took := time.Since(start); took > there.TTL+2*time.Second {
			t.Errorf("others were told after %v", took)
		}
		away.Set(false)
		is(t, "Done", lives.Done(), waitgroup.ErrLost)
		is(t, "who comes late", here.WaitContext(t.Context()), waitgroup.ErrAbandoned)
	})
}
