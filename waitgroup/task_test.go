package waitgroup_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestDo: what the task returns is returned, and a task that has an error is
// done all the same.
func TestDo(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		ctx := t.Context()
		failed := errors.New("no more paper")
		if err := of("key", 0).Do(ctx, func(ctx context.Context) error {
			c := of("key", 1).WaitChan(ctx)
			goesOn(t, "a task that runs", c, 50*time.Millisecond)
			return failed
		}); err != failed {
			t.Errorf("Do: %v", err)
		}
		if err := of("key", 1).WaitContext(ctx); err != nil {
			t.Errorf("WaitContext: %v", err)
		}
		if err := of("key", 2).Do(ctx, func(context.Context) error { return nil }); err != nil {
			t.Errorf("Do: %v", err)
		}
	})
}

// TestDoPanic: a task that panics, or ends its goroutine, is abandoned at
// once, and its panic is not lost.
func TestDoPanic(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		func() {
			defer func() {
				if x := recover(); x != "on fire" {
					t.Errorf("recovered %v", x)
				}
			}()
			_ = of("key", 0).Do(t.Context(), func(context.Context) error { panic("on fire") })
		}()
		lost(t, "a panic", of("key", 1).WaitContext(t.Context()), 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = of("key", 2).Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-ended
		lost(t, "Goexit", of("key", 3).WaitContext(t.Context()), 1)
		// The next generation knows nothing of that.
		of("key", 0).Go(func() {})
		if err := of("key", 1).WaitContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWaitPanics: Wait has no other way to say that not all was done.
func TestWaitPanics(t *testing.T) {
	t.Parallel()
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	wg := waitgroup.New(rdb, "key")
	func() {
		defer func() { _ = recover() }()
		_ = wg.Do(t.Context(), func(context.Context) error { panic(1) })
	}()
	defer func() {
		err, _ := recover().(error)
		lost(t, "Wait", err, 1)
	}()
	wg.Wait()
}

// TestClaim has others join what one has added.
func TestClaim(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		ctx := t.Context()
		_, err := of("key", 0).Claim(ctx)
		is(t, "to join nothing", err, waitgroup.ErrNothingToClaim)
		of("key", 0).Add(3)
		all := of("key", 1).WaitChan(ctx)
		first, second := claim(t, of("key", 2)), claim(t, of("key", 3))
		of("key", 1).Done() // of what nobody has claimed
		_, err = of("key", 2).Claim(ctx)
		is(t, "to join what is done", err, waitgroup.ErrNothingToClaim)
		is(t, "to be done with what was joined", of("key", 0).DoneContext(ctx), waitgroup.ErrNegativeCounter)
		for _, task := range []*waitgroup.Task{first, second} {
			goesOn(t, "a group with tasks", all, 20*time.Millisecond)
			if task.Err() != nil || task.Done() != nil {
				t.Errorf("the task: %v", task.Err())
			}
			is(t, "a second Done", task.Done(), waitgroup.ErrDone)
			is(t, "Err", task.Err(), waitgroup.ErrDone)
		}
		if err := ends(t, "the group", all, time.Now(), poll); err != nil {
			t.Error(err)
		}
	})
}

// TestTaskLives: a task is renewed for as long as its process lives, and when that
// is cut off it is told before others are.
func TestTaskLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		cut := sibling(t, rdb)
		var gate gate
		cut.AddHook(&gate)
		here, there := waitgroup.New(rdb, "key"), waitgroup.New(cut, "key")
		there.TTL = 3 * time.Second
		here.Add(2)
		all := here.WaitChan(t.Context())
		ended, lives := claim(t, there), claim(t, there)
		time.Sleep(3 * time.Minute)
		if err := ended.Done(); err != nil {
			t.Fatal(err)
		}
		ctx, stop := lives.Context(t.Context())
		defer stop()
		if len(all) > 0 || lives.Err() != nil || ctx.Err() != nil {
			t.Fatalf("after minutes: %v, %v", lives.Err(), ctx.Err())
		}
		gate.shut.Store(true)
		start := time.Now()
		<-ctx.Done()
		told := time.Since(start)
		if told > there.TTL || context.Cause(ctx) != waitgroup.ErrLost {
			t.Errorf("told of %v after %v", context.Cause(ctx), told)
		}
		is(t, "Err", lives.Err(), waitgroup.ErrLost)
		lost(t, "the wait", <-all, 1)
		if took := time.Since(start); took < told || took > there.TTL+poll {
			t.Errorf("others were told after %v, the task after %v", took, told)
		}
		gate.shut.Store(false)
		is(t, "Done", lives.Done(), waitgroup.ErrLost)
		if err := here.WaitContext(t.Context()); !errors.Is(err, waitgroup.ErrAbandoned) {
			t.Errorf("who comes late is told %v", err)
		}
	})
}

// TestTaskForgotten: when Redis has lost the group, the next renewal tells its tasks,
// before their time is over.
func TestTaskForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg := waitgroup.New(rdb, "key")
		wg.Add(1)
		task := claim(t, wg)
		ctx, stop := task.Context(t.Context())
		defer stop()
		must(rdb.FlushAll(t.Context()).Err())
		start := time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(wg.TTL):
		}
		if took := time.Since(start); took > wg.TTL/2 || context.Cause(ctx) != waitgroup.ErrLost {
			t.Errorf("told of %v after %v", context.Cause(ctx), took)
		}
		is(t, "Done", task.Done(), waitgroup.ErrLost)
		holds(t, "a lost group", rdb, 0, 0)
	})
}

// TestTaskOutlivesGroup: tasks are renewed for longer than a group is kept in
// which nothing happens, and without anything it expires.
func TestTaskOutlivesGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg := waitgroup.New(rdb, "key")
		wg.TTL = 10 * time.Hour
		wg.Add(2)
		task := claim(t, wg)
		time.Sleep(50 * time.Hour)
		holds(t, "after two days", rdb, 1, 1)
		if err := task.Done(); err != nil {
			t.Error(err)
		}
		time.Sleep(24*time.Hour - time.Second)
		holds(t, "a day later", rdb, 1, 0)
		time.Sleep(time.Second)
		if n := rdb.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%d keys are left: %v", n, rdb.Keys(t.Context(), "*").Val())
		}
	})
}

// TestGoGoexit: as with sync, a task that ends its goroutine is done.
func TestGoGoexit(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		wg.Go(runtime.Goexit)
		if err := wg.WaitContext(t.Context()); err != nil {
			t.Errorf("as with sync, that is an end like any other: %v", err)
		}
	})
}
