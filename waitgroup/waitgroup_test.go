package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

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
			must(result(t, fmt.Sprint("wait ", i), c))
		}
		notEnded(t, "after the first result", waits...)
		err := redistest.Outcome(func() error { of("key", 1).Done(); return nil })
		if !strings.Contains(fmt.Sprint(err), "negative WaitGroup counter") {
			t.Errorf("an extra Done: %v", err)
		}
		of("key", 1).Wait()
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

// If Redis has recorded the number of an operation as acknowledged, it counts nothing. AddContext then
// fails.
func TestAddWithAnAckedNumberFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg := waitgroup.New(rdb, "key")
		must(wg.AddContext(t.Context(), 2))
		for _, key := range rdb.Keys(t.Context(), "baton:{key}:ops:*").Val() {
			rdb.HSet(t.Context(), key, "acked", 1000)
		}
		if err := wg.AddContext(t.Context(), 1); err == nil {
			t.Error("AddContext succeeds without a count")
		}
	})
}
