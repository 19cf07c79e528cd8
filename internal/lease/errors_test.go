package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var errUpstream = errors.New("no upstream host")

// calls are the calls that wait for Redis. Their TTL is at most a minute.
var calls = map[string]func(ctx context.Context, m *Manager) error{
	"lock": func(ctx context.Context, m *Manager) error {
		l := new(Lease)
		return released(l, l.Acquire(ctx, m, new(params(time.Minute))))
	},
	"acquire": func(ctx context.Context, m *Manager) error {
		l := new(Lease)
		return released(l, l.Acquire(ctx, m, new(taking(1, 2))))
	},
	"channel": func(ctx context.Context, m *Manager) error {
		l, results := new(Lease), result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, m, new(params(time.Minute)), results)
		return released(l, <-results.C())
	},
	"keys": func(ctx context.Context, m *Manager) error {
		l := new(MultiLease)
		return released(l, l.Acquire(ctx, m, params(time.Minute), []string{"key", "another"}))
	},
	"add": func(ctx context.Context, m *Manager) error {
		_, err := m.store.(*fakeStore).session().Update(ctx, "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: 1})
		return err
	},
	"wait": func(ctx context.Context, m *Manager) error { return m.store.(*fakeStore).session().Wait(ctx, "wait") },
}

// released releases the lease of a successful call, and returns the error of the call.
func released(l interface{ Release() error }, err error) error {
	if err == nil {
		return l.Release()
	}
	return err
}

// eachCall runs f for each call, in a bubble of its own.
func eachCall(t *testing.T, f func(e *env, s *fakeStore, call func(context.Context) error)) {
	inBubbles(t, calls, func(e *env, call func(context.Context, *Manager) error) {
		m, s := e.process()
		f(e, s, func(ctx context.Context) error { return call(ctx, m) })
		s.setError(nil)
	})
}

// TestUnknownErrorLasts returns the same unknown error for longer than a TTL. That ends a call whose
// ctx does not end.
func TestUnknownErrorLasts(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		s.setError(retry.Unknown(errUpstream))
		start := time.Now()
		err := call(context.Background())
		if took := time.Since(start); !retry.IsPermanent(err) || !errors.Is(err, errUpstream) || took < retry.UnknownLimit || took > time.Minute+2*MaxPollInterval {
			e.Errorf("%v, after %v", err, took)
		}
	})
}

// TestUnknownErrorAmongOthers returns changing unknown errors, and then network errors. The call
// waits until they are over.
func TestUnknownErrorAmongOthers(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		n := 0
		s.change(func() {
			s.refuse = func(request string) error {
				if request == "renew" {
					return nil
				}
				if n++; n%20 == 0 {
					return errNetwork
				}
				return retry.Unknown(fmt.Errorf("%w %d", errUpstream, n/5))
			}
		})
		ended := make(chan error, 1)
		go func() { ended <- call(context.Background()) }()
		time.Sleep(29 * time.Minute) // shorter than the retention of an operation
		e.checkWaits("the call", ended)
		s.setError(errNetwork)
		time.Sleep(29 * time.Minute)
		e.checkWaits("the call", ended)
		s.setError(nil)
		e.checkError("the call", <-ended)
	})
}

// TestTimeoutNamesRedis checks that the error of a timeout contains the last error of Redis, also if
// that is an unknown error that has lasted.
func TestTimeoutNamesRedis(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		for _, refused := range []error{errNetwork, retry.Unknown(errUpstream)} {
			s.setError(refused)
			start := time.Now()
			ctx, cancel := context.WithTimeout(e.Context(), 3*time.Minute)
			err := call(ctx)
			cancel()
			if e.checkError("the call", err, context.DeadlineExceeded, refused); !strings.Contains(err.Error(), "Redis: ") {
				e.Error(err)
			}
			e.checkWithin("the timeout", start, 3*time.Minute+2*retry.CancelTimeout)
			time.Sleep(2 * time.Minute) // the undo has timed out too
		}
	})
}

// TestTimeoutBehindARelease waits for an earlier hold that Redis does not release.
func TestTimeoutBehindARelease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		held := e.acquire(m, params(time.Minute))
		s.setError(errNetwork)
		go held.Release()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		defer cancel()
		e.checkError("Acquire", new(Lease).Acquire(ctx, m, new(params(time.Minute))), context.DeadlineExceeded, errNetwork)
		e.checkError("a try", e.try(m, params(time.Minute)), errNetwork)
		s.setError(nil)
	})
}

// TestDeniedRelease removes the permissions of a holder, and restores them. The release waits and
// succeeds in the end, and callers behind it fail immediately.
func TestDeniedRelease(t *testing.T) {
	denied := retry.Denied(errors.New("NOPERM"))
	type row struct {
		p      Params
		others int64 // leases of the same process that stay held
	}
	inBubbles(t, map[string]row{"lock": {params(time.Minute), 0}, "permits": {taking(1, 4), 0}, "some permits": {taking(1, 4), 1}}, func(e *env, c row) {
		m, s := e.process()
		held := e.acquire(m, c.p)
		for range c.others {
			e.acquire(m, c.p)
		}
		s.setError(denied)
		released := make(chan error, 1)
		go func() { released <- held.Release() }()
		time.Sleep(10 * time.Second)
		e.checkWaits("the release", released)
		start := time.Now()
		if err := new(Lease).Acquire(e.Context(), m, &c.p); !retry.IsDenied(err) {
			e.Errorf("behind it: %v", err)
		}
		e.checkWithin("the error behind it", start, MaxPollInterval+ms)
		s.setError(nil)
		e.checkError("the release", <-released)
		e.checkUsed(c.p.Kind, c.others)
	})
}
