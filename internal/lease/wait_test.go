package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fakeBucket gives all the same turn, and counts what is given back in time.
type fakeBucket struct {
	turn     Turn
	returned int
}

func (b *fakeBucket) Take(context.Context, Draw) (Turn, error) { return b.turn, nil }

func (b *fakeBucket) Return(ctx context.Context, _ Draw) error {
	if ctx.Err() == nil {
		b.returned++
	}
	return ctx.Err()
}

// TestWaitGivesBack ends ctx before the tokens are used: they are given back, and not
// under a ctx that has ended.
func TestWaitGivesBack(t *testing.T) {
	draw := Draw{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Refunds: new(Backlog)}
	box := func() *Box[error, Bare] { return NewBox(Bare{}) }
	for what, c := range map[string]struct {
		turn Turn
		wait func(context.Context, Bucket) error
		at   time.Duration // when it returns
	}{
		"while it waits": {Turn{Taken: true, Wait: time.Minute}, draw.Wait, time.Second},
		"while it waits with a channel": {Turn{Taken: true, Wait: time.Minute}, func(ctx context.Context, b Bucket) error {
			mail := box()
			draw.WaitChan(ctx, b, mail)
			return <-mail.C()
		}, time.Second},
		"before it receives": {Turn{Taken: true}, func(ctx context.Context, b Bucket) error {
			mail := box()
			draw.WaitChan(ctx, b, mail)
			<-ctx.Done()
			synctest.Wait()
			return <-mail.C()
		}, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, start := &fakeBucket{turn: c.turn}, time.Now()
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
		b, start := &fakeBucket{turn: Turn{Taken: true, Wait: 2 * time.Second}}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := Draw{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Refunds: new(Backlog)}.Wait(ctx, b)
		if !errors.Is(err, context.DeadlineExceeded) || b.returned != 1 || time.Since(start) != 0 {
			t.Errorf("given back %d times after %v: %v", b.returned, time.Since(start), err)
		}
	})
}
