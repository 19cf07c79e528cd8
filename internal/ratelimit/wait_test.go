package ratelimit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// fakeRateStore gives all the same turn, and counts what is given back in time.
type fakeRateStore struct {
	result   TakeResult
	returned int
}

func (b *fakeRateStore) Take(context.Context, Reservation) (TakeResult, error) { return b.result, nil }

func (b *fakeRateStore) Refund(ctx context.Context, _ Reservation) error {
	if ctx.Err() == nil {
		b.returned++
	}
	return ctx.Err()
}

// TestWaitRefunds ends ctx before the tokens are used: they are given back, and not
// under a ctx that has ended.
func TestWaitRefunds(t *testing.T) {
	draw := Reservation{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Refunds: new(retry.Backlog)}
	box := func() *result.Chan[error, result.ErrorOnly] { return result.NewChan(result.ErrorOnly{}) }
	for what, c := range map[string]struct {
		result TakeResult
		wait   func(context.Context, Store) error
		at     time.Duration // when it returns
	}{
		"while it waits": {TakeResult{Taken: true, Wait: time.Minute}, draw.Wait, time.Second},
		"while it waits with a channel": {TakeResult{Taken: true, Wait: time.Minute}, func(ctx context.Context, store Store) error {
			mail := box()
			draw.WaitChan(ctx, store, mail)
			return <-mail.C()
		}, time.Second},
		"before it receives": {TakeResult{Taken: true}, func(ctx context.Context, store Store) error {
			mail := box()
			draw.WaitChan(ctx, store, mail)
			<-ctx.Done()
			synctest.Wait()
			return <-mail.C()
		}, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, start := &fakeRateStore{result: c.result}, time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(c.at, cancel)
			if err := c.wait(ctx, b); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(start); b.returned != 1 || took != c.at {
				t.Errorf("%s: given back %d times, returned after %v", what, b.returned, took)
			}
		})
	}
}

// TestWaitTooLate is told of a turn, which an earlier request took, that comes after
// the deadline: it does not wait in vain, and gives it back.
func TestWaitTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := &fakeRateStore{result: TakeResult{Taken: true, Wait: 2 * time.Second}}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := Reservation{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Refunds: new(retry.Backlog)}.Wait(ctx, b)
		if !errors.Is(err, context.DeadlineExceeded) || b.returned != 1 || time.Since(start) != 0 {
			t.Errorf("given back %d times after %v: %v", b.returned, time.Since(start), err)
		}
	})
}
