package ratelimit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore returns the same result to all requests, but fails some. It counts refunds, and records the
// ids that requests name as finished.
type fakeStore struct {
	result                 TakeResult
	failTakes, failRefunds int // how many requests fail first
	refunds                int
	finished               []string
}

var errLost = errors.New("the reply was lost")

func (s *fakeStore) Take(_ context.Context, r Reservation) (TakeResult, error) {
	s.finished = append(s.finished, r.Finished...)
	if s.failTakes--; s.failTakes >= 0 {
		return TakeResult{}, errLost
	}
	return s.result, nil
}

func (s *fakeStore) Refund(ctx context.Context, _ Reservation) error {
	if s.failRefunds--; s.failRefunds >= 0 {
		return errLost
	}
	if ctx.Err() == nil {
		s.refunds++
	}
	return ctx.Err()
}

// newReservation returns a reservation of one token.
func newReservation(id string) Reservation {
	return Reservation{Op: "wait", Key: "key", ID: id, N: 1, Rate: 1, Burst: 1, Client: new(Client)}
}

// receive waits by a channel, and receives the result at once, or when ready is closed.
func receive(ctx context.Context, r Reservation, store Store, ready <-chan struct{}) error {
	c := result.NewChan(result.ErrorOnly{})
	r.WaitChan(ctx, store, c)
	if ready != nil {
		<-ready
		synctest.Wait()
	}
	return <-c.C()
}

// TestWaitRefunds ends ctx before the tokens are used. They must be refunded, under a ctx that has not
// ended.
func TestWaitRefunds(t *testing.T) {
	r := newReservation("id")
	for what, c := range map[string]struct {
		result TakeResult
		wait   func(context.Context, Store) error
	}{
		"during the wait": {TakeResult{Taken: true, Wait: time.Minute}, r.Wait},
		"during the wait with a channel": {TakeResult{Taken: true, Wait: time.Minute}, func(ctx context.Context, store Store) error {
			return receive(ctx, r, store, nil)
		}},
		"before the result is received": {TakeResult{Taken: true}, func(ctx context.Context, store Store) error {
			return receive(ctx, r, store, ctx.Done())
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, start := &fakeStore{result: c.result}, time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Second, cancel)
			if err := c.wait(ctx, b); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(start); b.refunds != 1 || took != time.Second {
				t.Errorf("%s: %d refunds, returned after %v", what, b.refunds, took)
			}
		})
	}
}

// TestWaitTooLate gets tokens of an earlier request that are usable only after the deadline. It must
// refund them, and return immediately.
func TestWaitTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := &fakeStore{result: TakeResult{Taken: true, Wait: 2 * time.Second}}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := newReservation("id").Wait(ctx, b)
		if !errors.Is(err, context.DeadlineExceeded) || b.refunds != 1 || time.Since(start) != 0 {
			t.Errorf("%d refunds after %v: %v", b.refunds, time.Since(start), err)
		}
	})
}

// TestFinishedNamesAnsweredReservations ends a wait in several ways. A later request names it as finished
// only if each of its requests got a reply. A late copy of a request without a reply needs the record.
func TestFinishedNamesAnsweredReservations(t *testing.T) {
	call := func(ctx context.Context, r Reservation, s Store) { _ = r.Wait(ctx, s) }
	channel := func(ctx context.Context, r Reservation, s Store) {
		_ = receive(ctx, r, s, nil)
		time.Sleep(time.Second) // the client checks for the receipt after 100 ms
	}
	for what, c := range map[string]struct {
		failTakes, failRefunds int
		cancel, named          bool
	}{
		"granted":                             {named: true},
		"granted by a repeated request":       {failTakes: 1},
		"cancelled":                           {cancel: true, named: true},
		"cancelled, taken by a repetition":    {cancel: true, failTakes: 1},
		"cancelled, refunded by a repetition": {cancel: true, failRefunds: 1},
	} {
		for form, wait := range map[string]func(context.Context, Reservation, Store){"call": call, "channel": channel} {
			synctest.Test(t, func(t *testing.T) {
				r := newReservation("first")
				s := &fakeStore{result: TakeResult{Taken: true, Wait: time.Second}, failTakes: c.failTakes, failRefunds: c.failRefunds}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel {
					time.AfterFunc(900*time.Millisecond, cancel)
				}
				wait(ctx, r, s)
				time.Sleep(time.Minute) // the refund has succeeded
				r.ID = "second"
				wait(t.Context(), r, s)
				if named := len(s.finished) == 1 && s.finished[0] == "first"; named != c.named || len(s.finished) > 1 {
					t.Errorf("%s, %s: Finished has %q", what, form, s.finished)
				}
			})
		}
	}
}

// A stopCounter is a context that counts calls of the stop functions of [context.AfterFunc].
type stopCounter struct {
	context.Context
	stops int
}

// Value hides the context from the context package, which then calls AfterFunc.
func (*stopCounter) Value(any) any { return nil }

func (c *stopCounter) AfterFunc(f func()) func() bool {
	stop := context.AfterFunc(c.Context, f)
	return func() bool {
		c.stops++
		return stop()
	}
}

// TestReceivedResultLeavesNothingOnTheContext receives a result under a context that goes on.
func TestReceivedResultLeavesNothingOnTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := &stopCounter{Context: t.Context()}
		if err := receive(ctx, newReservation("id"), &fakeStore{result: TakeResult{Taken: true, Wait: time.Second}}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the client checks for the receipt after 100 ms
		synctest.Wait()
		if ctx.stops != 1 {
			t.Errorf("%d context.AfterFunc were stopped", ctx.stops)
		}
	})
}
