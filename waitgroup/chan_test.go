package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestWaitChanCancelled: the end of ctx ends the wait, with its cause, and what
// has been told stays so.
func TestWaitChanCancelled(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		of("key", 0).Add(1)
		c, inCall := of("key", 1).WaitChan(ctx), make(chan error, 1)
		go func() { inCall <- of("key", 2).WaitContext(ctx) }()
		goesOn(t, "the wait", c, 50*time.Millisecond)
		cancel(enough)
		start := time.Now()
		for _, c := range []<-chan error{c, inCall} {
			err := ends(t, "the wait", c, start, 0)
			is(t, "the wait", err, enough)
			is(t, "the wait", err, context.Canceled)
			if !strings.Contains(err.Error(), `"key"`) {
				t.Errorf("the error does not name the key: %v", err)
			}
		}
		is(t, "a ctx that has ended", <-of("key", 3).WaitChan(ctx), enough)
		is(t, "a ctx that has ended", of("key", 3).WaitContext(ctx), enough)
		is(t, "a ctx that has ended", of("key", 3).AddContext(ctx, 1), enough)
		of("key", 2).Done()

		ctx, cancel = context.WithCancelCause(t.Context())
		c = of("key", 0).WaitChan(ctx)
		redistest.Eventually(t, 5*time.Second, func() bool { return len(c) == 1 }, "a wait for nothing does not end")
		cancel(enough)
		if err := <-c; err != nil {
			t.Errorf("what had been told is now %v", err)
		}
	})
}

// TestWaitChanOrder: who has called WaitChan waits for the generation that went on then,
// also if what it does next ends that generation and begins another.
func TestWaitChanOrder(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg := waitgroup.New(rdb, "key")
		for round := range 20 {
			wg.Add(1)
			c := wg.WaitChan(t.Context())
			wg.Done()
			wg.Add(1)
			if err := ends(t, fmt.Sprint("round ", round), c, time.Now(), poll); err != nil {
				t.Error(err)
			}
			none := wg.WaitChan(t.Context())
			task := claim(t, wg)
			goesOn(t, "the next round", none, 0)
			if err := task.Done(); err != nil {
				t.Error(err)
			}
			none = wg.WaitChan(t.Context()) // there is nothing to wait for
			wg.Add(1)
			if err := ends(t, "a wait for nothing", none, time.Now(), poll); err != nil {
				t.Error(err)
			}
			wg.Done()
		}
	})
}

// TestSelect waits in a select that may give up at any moment, many times: each
// channel yields exactly one result, which is true, and nothing is left behind.
func TestSelect(t *testing.T) {
	t.Parallel()
	inOneAndFour(t, func(t *testing.T, of func(key string, i int) *waitgroup.WaitGroup) {
		var running sync.WaitGroup
		for g := range 4 {
			key := fmt.Sprint("key ", g%2)
			mine, other := of(key, g), of(key, g+1)
			running.Go(func() {
				for range 60 {
					must(mine.AddContext(t.Context(), 1))
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(4*time.Millisecond))
					c := other.WaitChan(ctx)
					pause := time.NewTimer(rand.N(4 * time.Millisecond))
					done := false
					for c != nil {
						select {
						case err := <-c:
							if err != nil && !errors.Is(err, context.DeadlineExceeded) {
								t.Error(err)
							} else if err == nil && !done {
								t.Errorf("told before it was done")
							}
							c = nil
						case <-pause.C:
							done = true
							must(mine.DoneContext(t.Context()))
						}
					}
					if cancel(); !done {
						must(mine.DoneContext(t.Context()))
					}
				}
			})
		}
		running.Wait()
		for _, key := range []string{"key 0", "key 1"} {
			if err := of(key, 0).WaitContext(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRest: when nobody waits and no task is left, nothing is: goleak, which ends
// the package's tests, sees to the goroutines.
func TestRest(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg, other := waitgroup.New(rdb, "key"), waitgroup.New(sibling(t, rdb), "key")
		wg.Add(1)
		c := other.WaitChan(t.Context())
		listening(t, rdb, 1)
		wg.Done()
		if err := <-c; err != nil {
			t.Error(err)
		}
		listening(t, rdb, 0)
		for _, key := range rdb.Keys(t.Context(), "*").Val() {
			if ttl := rdb.PTTL(t.Context(), key).Val(); ttl <= 0 {
				t.Errorf("%q does not expire", key)
			}
		}
	})
}
