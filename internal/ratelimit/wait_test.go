package ratelimit

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// fakeRateStore returns the same result to all requests, and counts refunds.
type fakeRateStore struct {
	result  TakeResult
	refunds int
}

func (b *fakeRateStore) Take(context.Context, Reservation) (TakeResult, error) { return b.result, nil }

func (b *fakeRateStore) Refund(ctx context.Context, _ Reservation) error {
	if ctx.Err() == nil {
		b.refunds++
	}
	return ctx.Err()
}

// newReservation returns a reservation of one token.
func newReservation(id string) Reservation {
	return Reservation{Op: "wait", Key: "key", ID: id, N: 1, Rate: 1, Burst: 1, Client: new(Client)}
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
			results := result.NewChan(result.ErrorOnly{})
			r.WaitChan(ctx, store, results)
			return <-results.C()
		}},
		"before the result is received": {TakeResult{Taken: true}, func(ctx context.Context, store Store) error {
			results := result.NewChan(result.ErrorOnly{})
			r.WaitChan(ctx, store, results)
			<-ctx.Done()
			synctest.Wait()
			return <-results.C()
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, start := &fakeRateStore{result: c.result}, time.Now()
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
		b, start := &fakeRateStore{result: TakeResult{Taken: true, Wait: 2 * time.Second}}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := newReservation("id").Wait(ctx, b)
		if !errors.Is(err, context.DeadlineExceeded) || b.refunds != 1 || time.Since(start) != 0 {
			t.Errorf("%d refunds after %v: %v", b.refunds, time.Since(start), err)
		}
	})
}

// finishStore fails some requests, and records the ids that later requests name as finished.
type finishStore struct {
	fail  map[string]int // "take" or "refund" -> how many requests fail first
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

// TestFinishedNamesAnsweredReservations ends a wait in several ways. A later request names it as finished
// only if each of its requests got a reply. A late copy of a request without a reply needs the record.
func TestFinishedNamesAnsweredReservations(t *testing.T) {
	call := func(ctx context.Context, r Reservation, s Store) { _ = r.Wait(ctx, s) }
	channel := func(ctx context.Context, r Reservation, s Store) {
		c := result.NewChan(result.ErrorOnly{})
		r.WaitChan(ctx, s, c)
		<-c.C()
		time.Sleep(time.Second) // the client checks for the receipt after 100 ms
	}
	for what, c := range map[string]struct {
		fail   map[string]int
		cancel bool
		named  bool
	}{
		"granted":                             {named: true},
		"granted by a repeated request":       {fail: map[string]int{"take": 1}},
		"cancelled":                           {cancel: true, named: true},
		"cancelled, taken by a repetition":    {cancel: true, fail: map[string]int{"take": 1}},
		"cancelled, refunded by a repetition": {cancel: true, fail: map[string]int{"refund": 1}},
	} {
		for form, wait := range map[string]func(context.Context, Reservation, Store){"call": call, "channel": channel} {
			synctest.Test(t, func(t *testing.T) {
				r, s := newReservation("first"), &finishStore{fail: map[string]int{}}
				maps.Copy(s.fail, c.fail)
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
					t.Errorf("%s, %s: Finished has %q", what, form, s.named)
				}
			})
		}
	}
}
