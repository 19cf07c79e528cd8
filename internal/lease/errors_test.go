package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var errUpstream = errors.New("no upstream host")

// calls are those that wait for Redis, each for up to a minute's TTL.
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
		l, box := new(Lease), result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, m, new(params(time.Minute)), box)
		return released(l, <-box.C())
	},
	"keys": func(ctx context.Context, m *Manager) error {
		l := new(MultiLease)
		return released(l, l.Acquire(ctx, m, params(time.Minute), []string{"key", "another"}))
	},
	"add": func(ctx context.Context, m *Manager) error {
		_, err := m.store.(*fakeStore).session().Update(ctx, "add", addOp(1))
		return err
	},
	"wait": func(ctx context.Context, m *Manager) error { return m.store.(*fakeStore).session().Wait(ctx, "wait") },
	"limiter": func(ctx context.Context, m *Manager) error {
		return ratelimit.Reservation{Client: new(ratelimit.Client), Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1}.Wait(ctx, bucket{m.store.(*fakeStore)})
	},
}

// released releases the lease of a call that has succeeded, and returns the error of the call.
func released(l interface{ Release() error }, err error) error {
	if err == nil {
		return l.Release()
	}
	return err
}

// bucket is one at the store that has tokens.
type bucket struct{ *fakeStore }

func (b bucket) Take(context.Context, ratelimit.Reservation) (ratelimit.TakeResult, error) {
	taken, err := call(b.fakeStore, "take", func() (bool, []message) { return true, nil })
	return ratelimit.TakeResult{Taken: taken}, err
}

func (b bucket) Refund(context.Context, ratelimit.Reservation) error {
	_, err := call(b.fakeStore, "refund", func() (bool, []message) { return true, nil })
	return err
}

// eachCall runs f for each call, in a bubble of its own.
func eachCall(t *testing.T, f func(e *env, s *fakeStore, call func(context.Context) error)) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, s := e.process()
				f(e, s, func(ctx context.Context) error { return call(ctx, m) })
				s.refuses(nil)
			})
		})
	}
}

// TestUnknownErrorLasts: one error of an unknown kind, and nothing else for longer than a
// TTL, is final for a call that nothing else would end.
func TestUnknownErrorLasts(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		s.refuses(retry.Unknown(errUpstream))
		start := time.Now()
		err := call(context.Background())
		if took := time.Since(start); !retry.IsPermanent(err) || !errors.Is(err, errUpstream) || took < retry.UnknownLimit || took > time.Minute+2*MaxPollInterval {
			e.Errorf("%v, after %v", err, took)
		}
	})
}

// TestUnknownErrorAmongOthers: what comes and goes is waited out, and so is the network.
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
		time.Sleep(29 * time.Minute) // less than an operation is remembered for
		e.waits("it", ended)
		s.refuses(errNetwork)
		time.Sleep(29 * time.Minute)
		e.waits("it", ended)
		s.refuses(nil)
		if err := <-ended; err != nil {
			e.Error(err)
		}
	})
}

// TestTimeoutNamesRedis: a call that gives up says what Redis has failed with, also with an
// unknown error that has lasted.
func TestTimeoutNamesRedis(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		for _, refused := range []error{errNetwork, retry.Unknown(errUpstream)} {
			s.refuses(refused)
			start := time.Now()
			ctx, cancel := context.WithTimeout(e.Context(), 3*time.Minute)
			err := call(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, refused) || !strings.Contains(err.Error(), "Redis: ") {
				e.Error(err)
			}
			e.within("it gives up", start, 3*time.Minute+2*retry.CancelTimeout)
			time.Sleep(2 * time.Minute) // what was to be undone is given up too
		}
	})
}

// TestTimeoutBehindARelease waits for the hold before it, which Redis does not take back.
func TestTimeoutBehindARelease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		held := e.take(m, params(time.Minute))
		s.refuses(errNetwork)
		go held.Release()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		defer cancel()
		if err := new(Lease).Acquire(ctx, m, new(params(time.Minute))); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errNetwork) {
			e.Error(err)
		}
		p := params(time.Minute)
		p.Try = true
		if err := new(Lease).Acquire(e.Context(), m, &p); !errors.Is(err, errNetwork) {
			e.Errorf("a try: %v", err)
		}
		s.refuses(nil)
	})
}

// TestDeniedRelease takes the rights from a holder, and gives them back: what was released
// is released in the end, by one who waits for that, and those behind it are not kept waiting.
func TestDeniedRelease(t *testing.T) {
	denied := retry.Denied(errors.New("NOPERM"))
	for name, c := range map[string]struct {
		params Params
		kind   Kind
	}{"lock": {params(time.Minute), Mutex}, "permits": {taking(1, 4), Semaphore}} {
		for _, others := range []bool{false, true} {
			if others && c.kind == Mutex {
				continue
			}
			t.Run(fmt.Sprint(name, ", others held ", others), func(t *testing.T) {
				inBubble(t, func(e *env) {
					m, s := e.process()
					held := e.take(m, c.params)
					if others {
						e.take(m, c.params)
					}
					s.refuses(denied)
					released := make(chan error, 1)
					go func() { released <- held.Release() }()
					time.Sleep(10 * time.Second)
					e.waits("the release", released)
					start := time.Now()
					if err := new(Lease).Acquire(e.Context(), m, &c.params); !retry.IsDenied(err) {
						e.Errorf("behind it: %v", err)
					}
					e.within("behind it", start, MaxPollInterval+time.Millisecond)
					s.refuses(nil)
					if err := <-released; err != nil {
						e.Error(err)
					}
					if c.kind == Mutex && e.owner() != "" {
						e.Error("it is still held")
					} else if c.kind != Mutex {
						e.uses(Semaphore, int64(map[bool]int{true: 1}[others]))
					}
				})
			})
		}
	}
}

// TestDeniedAtOnce: a call without the rights fails at once, again and again, whatever the one
// before it has left to undo.
func TestDeniedAtOnce(t *testing.T) {
	eachCall(t, func(e *env, s *fakeStore, call func(context.Context) error) {
		s.refuses(retry.Denied(errors.New("NOPERM")))
		for range 3 {
			start := time.Now()
			if err := call(context.Background()); !retry.IsDenied(err) {
				e.Error(err)
			}
			e.within("it fails", start, 20*time.Millisecond)
		}
	})
}
