package taskgroup

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var errUnavailable = errors.New("away")

// outage is a store that cannot be reached while down is set. It counts undos and refunds.
type outage struct {
	countingStore
	down   atomic.Bool
	undone atomic.Int64
}

func (o *outage) Take(context.Context, ratelimit.Reservation) (ratelimit.TakeResult, error) {
	return ratelimit.TakeResult{Taken: true}, o.err()
}

func (o *outage) Refund(context.Context, ratelimit.Reservation) error {
	if o.err() == nil {
		o.undone.Add(1)
	}
	return o.err()
}

func (o *outage) err() error {
	if o.down.Load() {
		return errUnavailable
	}
	return nil
}

// TestGiveUpInOutage cancels a thousand waits for tokens, and as many updates of a wait group, while Redis
// cannot be reached. One goroutine stays for them, and undoes all of them when Redis is back.
func TestGiveUpInOutage(t *testing.T) {
	for name, use := range map[string]func(context.Context, *outage) func() error{
		"tokens": func(ctx context.Context, o *outage) func() error {
			r := ratelimit.Reservation{Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Client: new(ratelimit.Client)}
			return func() error { return r.Wait(ctx, o) }
		},
		"updates": func(ctx context.Context, o *outage) func() error {
			o.do = func(c Operation) (UpdateReply, error) {
				if c.Op == OpUndo && o.err() == nil {
					o.undone.Add(1)
				}
				return UpdateReply{Outcome: Applied}, o.err()
			}
			s := newSession(o)
			return func() error {
				_, err := s.Update(ctx, "add", Operation{Op: OpAdd, Delta: 1})
				return err
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			o := new(outage)
			o.down.Store(true)
			wait, errs := use(ctx, o), make(chan error)
			const n = 1000
			for range n {
				go func() { errs <- wait() }()
			}
			time.Sleep(time.Second)
			cancel()
			for range n {
				if err := <-errs; !errors.Is(err, context.Canceled) || !errors.Is(err, errUnavailable) {
					t.Errorf("%s: %v", name, err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if left := redistest.Goroutines(); left > 10 {
				t.Errorf("%s: %d goroutines are left", name, left)
			}
			o.down.Store(false)
			time.Sleep(2 * retry.MaxInterval)
			if got := o.undone.Load(); got != n {
				t.Errorf("%s: %d of %d are undone", name, got, n)
			}
		})
	}
}
