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

// Do returns the error of its task. A task with an error counts as done, and so does a task of Go that
// calls Goexit, as with sync.
func TestDo(t *testing.T) {
	withOneAndFourProcesses(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		failed := errors.New("no more paper")
		var c <-chan error
		if err := of("key", 0).Do(t.Context(), func(ctx context.Context) error {
			c = of("key", 1).WaitChan(t.Context())
			_, err := of("key", 2).Inspect(ctx)
			notEnded(t, "during the task", c)
			return errors.Join(failed, err)
		}); !errors.Is(err, failed) {
			t.Errorf("Do: %v", err)
		}
		must(result(t, "the wait", c))
		for i := range 10 {
			of("key", i).Go(runtime.Goexit)
		}
		must(of("key", 3).WaitContext(t.Context()))
	})
}

// A task of Do that panics or calls Goexit is abandoned at once, and Do passes the panic on.
func TestDoPanic(t *testing.T) {
	withOneAndFourProcesses(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
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
		func() { // Wait panics with the error
			defer func() {
				err, _ := recover().(error)
				lost(t, "Goexit", err, 1)
			}()
			of("key", 3).Wait()
		}()
		// The next generation has no abandoned tasks.
		of("key", 0).Go(func() {})
		must(of("key", 1).WaitContext(t.Context()))
	})
}

// Processes can claim tasks that another process has added. Only Done of the task ends a claimed task.
func TestClaim(t *testing.T) {
	withOneAndFourProcesses(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		ctx := t.Context()
		_, err := of("key", 0).Claim(ctx)
		is(t, "Claim without tasks", err, waitgroup.ErrNothingToClaim)
		of("key", 0).Add(3)
		all := of("key", 1).WaitChan(ctx)
		first, second := claim(t, of("key", 2)), claim(t, of("key", 3))
		of("key", 1).Done() // of the third, unclaimed
		_, err = of("key", 2).Claim(ctx)
		is(t, "Claim after Done", err, waitgroup.ErrNothingToClaim)
		is(t, "DoneContext of a claimed task", of("key", 0).DoneContext(ctx), waitgroup.ErrNegativeCounter)
		for _, task := range []*waitgroup.Task{first, second} {
			notEnded(t, "with claimed tasks", all)
			if task.Err() != nil || task.Done() != nil {
				t.Errorf("the task: %v", task.Err())
			}
			is(t, "a second Done", task.Done(), waitgroup.ErrDone)
			is(t, "Err", task.Err(), waitgroup.ErrDone)
		}
		must(result(t, "the wait", all))
	})
}

// The process of a task renews it. When the process loses its connection, the task's ctx ends before
// other processes see the task as abandoned.
func TestTaskIsRenewedUntilAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		other := sibling(t, rdb)
		away := redistest.NewOutage(other)
		here, there, traced := waitgroup.New(rdb, "key"), waitgroup.New(other, "key"), waitgroup.New(other, "key")
		var r redistest.Record[waitgroup.Event]
		there.TTL, traced.TTL, traced.Trace = 3*time.Second, 3*time.Second, (*waitgroup.Trace)(r.Trace())
		here.Add(2)
		all := here.WaitChan(t.Context())
		first, second := claim(t, there), claim(t, traced)
		time.Sleep(3 * time.Minute)
		must(first.Done())
		ctx, stop := second.Context(t.Context())
		defer stop()
		if len(all) > 0 || second.Err() != nil || ctx.Err() != nil {
			t.Fatalf("after minutes: %v, %v", second.Err(), ctx.Err())
		}
		own := traced.WaitChan(t.Context())
		time.Sleep(time.Second)
		away.Set(true)
		start := time.Now()
		<-ctx.Done()
		if took := time.Since(start); took > there.TTL || len(all) > 0 || context.Cause(ctx) != waitgroup.ErrLost {
			t.Errorf("the ctx ends with %v after %v; %d waits have ended", context.Cause(ctx), took, len(all))
		}
		is(t, "Err", second.Err(), waitgroup.ErrLost)
		lost(t, "the wait", <-all, 1)
		if took := time.Since(start); took > there.TTL+2*time.Second {
			t.Errorf("the wait ends after %v", took)
		}
		away.Set(false)
		lost(t, "its own wait", <-own, 1)
		count, events := map[string]int{}, r.Take()
		for _, event := range events {
			count[event]++
		}
		if count["acquired immediate"] != 1 || count["error renew"] == 0 || count["error status"] == 0 || count["lost renew_failed"] != 1 {
			t.Errorf("the events are %q", events)
		}
		is(t, "Done", second.Done(), waitgroup.ErrLost)
		is(t, "a later wait", here.WaitContext(t.Context()), waitgroup.ErrAbandoned)
	})
}
