package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// internal/dropin runs the tests of sync's WaitGroup.

// Each wait ends once, when all tasks are done.
func TestWait(t *testing.T) {
	withOneAndFourProcesses(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		of("key", 0).Wait() // without tasks
		of("key", 0).Add(2)
		var waits []<-chan error
		for i := range 8 {
			waits = append(waits, of("key", i).WaitChan(t.Context()))
		}
		inCall := make(chan error, 1)
		go func() { inCall <- of("key", 3).WaitContext(t.Context()) }()
		of("key", 1).Done()
		notEnded(t, "with one task", append(waits, inCall)...)
		of("key", 2).Done()
		for i, c := range append(waits, inCall) {
			if err := result(t, fmt.Sprint("wait ", i), c); err != nil {
				t.Error(err)
			}
		}
		notEnded(t, "after the first result", waits...)
		func() {
			defer func() {
				if err := recover(); !strings.Contains(fmt.Sprint(err), "negative WaitGroup counter") {
					t.Errorf("an extra Done panics with %v", err)
				}
			}()
			of("key", 1).Done()
		}()
		of("key", 1).Wait()
	})
}

func TestGroupLeavesNothing(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		wg.Add(1)
		c := waitgroup.New(sibling(t, rdb), "key").WaitChan(t.Context())
		listening(t, rdb, 1)
		wg.Done()
		must(<-c)
		listening(t, rdb, 0)
		for _, key := range rdb.Keys(t.Context(), "*").Val() {
			if ttl := rdb.PTTL(t.Context(), key).Val(); ttl <= 0 {
				t.Errorf("%q does not expire", key)
			}
		}
	})
}

// The end of ctx ends the wait, with its cause. It does not change a result in the channel.
func TestWaitChanCancelled(t *testing.T) {
	withOneAndFourProcesses(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		of("key", 0).Add(1)
		c, inCall := of("key", 1).WaitChan(ctx), make(chan error, 1)
		go func() { inCall <- of("key", 2).WaitContext(ctx) }()
		cancel(enough)
		for _, c := range []<-chan error{c, inCall} {
			err := result(t, "the wait", c)
			is(t, "the wait", err, enough)
			is(t, "the wait", err, context.Canceled)
			if !strings.Contains(err.Error(), `"key"`) {
				t.Errorf("the error does not contain the key: %v", err)
			}
		}
		of("key", 2).Done()
		ctx, cancel = context.WithCancelCause(t.Context())
		c = of("key", 0).WaitChan(ctx)
		redistest.Eventually(t, redistest.Patience, func() bool { return len(c) == 1 }, "a wait without tasks ends")
		cancel(enough)
		must(<-c)
	})
}

// WaitChan waits for the generation at the time of the call, even if the caller then ends it and
// begins another.
func TestWaitChanOrder(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		for range 20 {
			wg.Add(1)
			c := wg.WaitChan(t.Context())
			wg.Done()
			wg.Add(1)
			must(result(t, "the first generation", c))
			next := wg.WaitChan(t.Context())
			task := claim(t, wg)
			notEnded(t, "the next generation", next)
			must(task.Done())
			must(result(t, "the next generation", next))
			none := wg.WaitChan(t.Context()) // without tasks
			wg.Add(1)
			must(result(t, "a wait without tasks", none))
			wg.Done()
		}
	})
}

// If Redis has recorded the number of an operation as acknowledged, it counts nothing. AddContext then
// fails.
func TestAddWithAnAckedNumberFails(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		must(wg.AddContext(t.Context(), 2))
		keys := rdb.Keys(t.Context(), "baton:{key}:ops:*").Val()
		if len(keys) != 1 {
			t.Fatalf("the keys are %q", keys)
		}
		rdb.HSet(t.Context(), keys[0], "acked", 1000)
		if err := wg.AddContext(t.Context(), 1); err == nil {
			t.Error("AddContext succeeds without a count")
		}
	})
}

// A group expires a day after the last operation, but not while it has tasks.
func TestGroupExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg := waitgroup.New(rdb, "key")
		wg.TTL = 10 * time.Hour
		wg.Add(2)
		task := claim(t, wg)
		time.Sleep(50 * time.Hour)
		holds(t, "after two days", rdb, 1, 1)
		must(task.Done())
		time.Sleep(24*time.Hour - time.Second)
		holds(t, "a day later", rdb, 1, 0)
		time.Sleep(time.Second)
		if n := rdb.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%d keys are left: %v", n, rdb.Keys(t.Context(), "*").Val())
		}
	})
}
