package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A failingStore is one whose every answer but to a renewal is an error, as long as refuse
// returns one.
type failingStore struct {
	*groupStore
	mu     sync.Mutex
	refuse func() error
}

// failingProcess is a process with such a store.
func (e *env) failingProcess() (*Manager, *failingStore) {
	s := &failingStore{groupStore: &groupStore{fakeStore: newFakeStore(e.redis), group: newFakeGroup(e.redis, "key"), name: "process"}}
	s.with(nil)
	return NewManager(s), s
}

func (s *failingStore) with(err error) { s.by(func() error { return err }) }

func (s *failingStore) by(refuse func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

func (s *failingStore) now() error {
	time.Sleep(time.Millisecond) // to Redis and back
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse()
}

func (s *failingStore) Acquire(ctx context.Context, r Request) (Reply, error) {
	if err := s.now(); err != nil {
		return Reply{}, err
	}
	return s.groupStore.Acquire(ctx, r)
}

func (s *failingStore) Release(ctx context.Context, name Name, token string) (bool, error) {
	if err := s.now(); err != nil {
		return false, err
	}
	return s.groupStore.Release(ctx, name, token)
}

func (s *failingStore) UpdateGroup(ctx context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
	if err := s.now(); err != nil {
		return taskgroup.UpdateReply{}, err
	}
	return s.groupStore.UpdateGroup(ctx, c)
}

func (s *failingStore) GroupStatus(ctx context.Context, key string, from int64) (taskgroup.Generation, error) {
	if err := s.now(); err != nil {
		return taskgroup.Generation{}, err
	}
	return s.groupStore.GroupStatus(ctx, key, from)
}

var errUpstream = errors.New("no upstream host")

// calls are those that wait for Redis, each for up to a minute's TTL.
var calls = map[string]func(ctx context.Context, m *Manager) error{
	"lock": func(ctx context.Context, m *Manager) error {
		return new(Lease).Acquire(ctx, m, new(params(time.Minute)))
	},
	"acquire": func(ctx context.Context, m *Manager) error { return new(Lease).Acquire(ctx, m, new(taking(1, 2))) },
	"channel": func(ctx context.Context, m *Manager) error {
		box := result.NewChan(result.ErrorOnly{})
		new(Lease).AcquireChan(ctx, m, new(params(time.Minute)), box)
		return <-box.C()
	},
	"keys": func(ctx context.Context, m *Manager) error {
		return new(MultiLease).Acquire(ctx, m, params(time.Minute), []string{"key", "another"})
	},
	"add": func(ctx context.Context, m *Manager) error {
		_, err := sessionOf(m).Update(ctx, "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: 1})
		return err
	},
	"wait": func(ctx context.Context, m *Manager) error { return sessionOf(m).Wait(ctx, "wait") },
	"limiter": func(ctx context.Context, m *Manager) error {
		return ratelimit.Reservation{Client: new(ratelimit.Client), Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1}.Wait(ctx, takenFrom{m.store.(*failingStore)})
	},
}

// sessionOf returns a session at the store of a manager.
func sessionOf(m *Manager) *taskgroup.Session {
	return taskgroup.NewManager(m.Client, m.store.(taskgroup.Store)).NewSession("key")
}

// takenFrom is a bucket at the store.
type takenFrom struct{ *failingStore }

func (s takenFrom) Take(context.Context, ratelimit.Reservation) (ratelimit.TakeResult, error) {
	return ratelimit.TakeResult{Taken: true}, s.now()
}

func (s takenFrom) Refund(context.Context, ratelimit.Reservation) error { return s.now() }

// eachCall runs f for each call, in a bubble of its own.
func eachCall(t *testing.T, f func(e *env, m *Manager, s *failingStore, call func(context.Context) error)) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(e *env) {
				m, s := e.failingProcess()
				f(e, m, s, func(ctx context.Context) error { return call(ctx, m) })
				s.with(nil)
			})
		})
	}
}

// TestUnknownErrorLasts: one error of an unknown kind, and nothing else for longer than a
// TTL, is final for a call that nothing else would end.
func TestUnknownErrorLasts(t *testing.T) {
	eachCall(t, func(e *env, m *Manager, s *failingStore, call func(context.Context) error) {
		s.with(retry.Unknown(errUpstream))
		start := time.Now()
		err := call(context.Background())
		if took := time.Since(start); !retry.IsPermanent(err) || !errors.Is(err, errUpstream) || took < retry.UnknownLimit || took > time.Minute+2*MaxPollInterval {
			e.Errorf("%v, after %v", err, took)
		}
	})
}

// TestUnknownErrorAmongOthers: what comes and goes is waited out, and so is the network.
func TestUnknownErrorAmongOthers(t *testing.T) {
	eachCall(t, func(e *env, m *Manager, s *failingStore, call func(context.Context) error) {
		n := 0
		s.by(func() error {
			if n++; n%20 == 0 {
				return errNetwork
			}
			return retry.Unknown(fmt.Errorf("%w %d", errUpstream, n/5))
		})
		ended := make(chan error, 1)
		go func() { ended <- call(context.Background()) }()
		for _, refuse := range []func() error{nil, func() error { return errNetwork }} {
			if refuse != nil {
				s.by(refuse)
			}
			time.Sleep(29 * time.Minute) // less than an operation is remembered for
			e.waits("it", ended)
			time.Sleep(time.Second)
		}
		s.with(nil)
		if err := <-ended; err != nil {
			e.Error(err)
		}
	})
}

// TestTimeoutNamesRedis: a call that gives up says what Redis has failed with, also with an
// unknown error that has lasted.
func TestTimeoutNamesRedis(t *testing.T) {
	eachCall(t, func(e *env, m *Manager, s *failingStore, call func(context.Context) error) {
		for _, refused := range []error{errNetwork, retry.Unknown(errUpstream)} {
			s.with(refused)
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
		m, s := e.failingProcess()
		held := e.acquire(m, time.Minute)
		s.with(errNetwork)
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
		s.with(nil)
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
					m, s := e.failingProcess()
					held := e.take(m, c.params)
					if others {
						e.take(m, c.params)
					}
					s.with(denied)
					released := make(chan error, 1)
					go func() { released <- held.Release() }()
					time.Sleep(10 * time.Second)
					e.waits("the release", released)
					start := time.Now()
					if err := new(Lease).Acquire(e.Context(), m, &c.params); !retry.IsDenied(err) {
						e.Errorf("behind it: %v", err)
					}
					e.within("behind it", start, MaxPollInterval+time.Millisecond)
					s.with(nil)
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
	eachCall(t, func(e *env, m *Manager, s *failingStore, call func(context.Context) error) {
		s.with(retry.Denied(errors.New("NOPERM")))
		for range 3 {
			start := time.Now()
			if err := call(context.Background()); !retry.IsDenied(err) {
				e.Error(err)
			}
			e.within("it fails", start, 20*time.Millisecond)
		}
	})
}
