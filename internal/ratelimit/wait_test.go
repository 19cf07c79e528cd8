package ratelimit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
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
	draw := Reservation{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Client: new(Client)}
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
		err := Reservation{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Client: new(Client)}.Wait(ctx, b)
		if !errors.Is(err, context.DeadlineExceeded) || b.returned != 1 || time.Since(start) != 0 {
			t.Errorf("given back %d times after %v: %v", b.returned, time.Since(start), err)
		}
	})
}

// finishStore fails the requests that it is told to, and notes the ids that others name as finished.
type finishStore struct {
	fail  map[string]int // "take" or "refund" -> how many fail first
	mu    sync.Mutex
	named []string
}

func (s *finishStore) Take(_ context.Context, r Reservation) (TakeResult, error) {
	s.mu.Lock()
	s.named = append(s.named, r.Finished...)
	s.mu.Unlock()
	return TakeResult{Taken: true, Wait: time.Second}, s.outcome("take")
}

func (s *finishStore) Refund(context.Context, Reservation) error { return s.outcome("refund") }

func (s *finishStore) outcome(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail[op]--; s.fail[op] >= 0 {
		return errors.New("the reply was lost")
	}
	return nil
}

// TestFinishedNamesAnsweredReservations ends a wait in each way. A later request names it as
// finished only if each of its own requests was answered: a late copy of a request
// without an answer still needs the record.
func TestFinishedNamesAnsweredReservations(t *testing.T) {
	call := func(ctx context.Context, r Reservation, s Store) { _ = r.Wait(ctx, s) }
	channel := func(ctx context.Context, r Reservation, s Store) {
		c := result.NewChan(result.ErrorOnly{})
		r.WaitChan(ctx, s, c)
		<-c.C()
		time.Sleep(time.Second) // the receipt is looked for after 100 ms
	}
	for what, c := range map[string]struct {
		fail   map[string]int
		cancel bool
		named  bool
	}{
		"granted":                             {named: true},
		"granted by a repeated request":       {fail: map[string]int{"take": 1}},
		"cancelled":                           {cancel: true, named: true},
		"cancelled, and taken by a repeated":  {cancel: true, fail: map[string]int{"take": 1}},
		"cancelled, and refunded by a second": {cancel: true, fail: map[string]int{"refund": 1}},
	} {
		for form, wait := range map[string]func(context.Context, Reservation, Store){"call": call, "channel": channel} {
			synctest.Test(t, func(t *testing.T) {
				r, s := Reservation{Op: "wait", Key: "key", ID: "first", N: 1, Rate: 1, Burst: 1, Client: new(Client)}, &finishStore{fail: c.fail}
				s.fail = map[string]int{"take": c.fail["take"], "refund": c.fail["refund"]}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel {
					time.AfterFunc(900*time.Millisecond, cancel)
				}
				wait(ctx, r, s)
				time.Sleep(time.Minute) // the refund has succeeded
				r.ID = "second"
				wait(t.Context(), r, s)
				if named := len(s.named) == 1 && s.named[0] == "first"; named != c.named || len(s.named) > 1 {
					t.Errorf("%s, %s: finished are %q", what, form, s.named)
				}
			})
		}
	}
}
