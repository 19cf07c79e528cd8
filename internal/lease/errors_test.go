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
)

// A failingStore is one whose every answer but to a renewal is an error, as long as refuse
// returns one.
type failingStore struct {
	*roundStore
	mu     sync.Mutex
	refuse func() error
}

// failingProcess is a process with such a store.
func (b *bench) failingProcess() (*Keeper, *failingStore) {
	s := &failingStore{roundStore: &roundStore{fakeStore: newFakeStore(b.redis), group: newFakeGroup(b.redis, "key"), name: "process"}}
	s.with(nil)
	return NewKeeper(s), s
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

func (s *failingStore) Ask(ctx context.Context, r Request) (Reply, error) {
	if err := s.now(); err != nil {
		return Reply{}, err
	}
	return s.roundStore.Ask(ctx, r)
}

func (s *failingStore) Release(ctx context.Context, name Name, token string) (bool, error) {
	if err := s.now(); err != nil {
		return false, err
	}
	return s.roundStore.Release(ctx, name, token)
}

func (s *failingStore) Change(ctx context.Context, c Change) (Answer, error) {
	if err := s.now(); err != nil {
		return 0, err
	}
	return s.roundStore.Change(ctx, c)
}

func (s *failingStore) Look(ctx context.Context, key string, from int64) (Round, error) {
	if err := s.now(); err != nil {
		return Round{}, err
	}
	return s.roundStore.Look(ctx, key, from)
}

var errUpstream = errors.New("no upstream host")

// calls are those that wait for Redis, each for up to a minute's TTL.
var calls = map[string]func(ctx context.Context, k *Keeper) error{
	"lock": func(ctx context.Context, k *Keeper) error {
		return new(Lease).Acquire(ctx, k, new(params(time.Minute)))
	},
	"acquire": func(ctx context.Context, k *Keeper) error { return new(Lease).Acquire(ctx, k, new(taking(1, 2))) },
	"channel": func(ctx context.Context, k *Keeper) error {
		box := NewBox(Bare{})
		new(Lease).AcquireChan(ctx, k, new(params(time.Minute)), box)
		return <-box.C()
	},
	"keys": func(ctx context.Context, k *Keeper) error {
		return new(Group).Acquire(ctx, k, params(time.Minute), []string{"key", "another"})
	},
	"add": func(ctx context.Context, k *Keeper) error {
		_, err := k.NewSession("key").Change(ctx, "add", Change{What: Add, Delta: 1})
		return err
	},
	"wait": func(ctx context.Context, k *Keeper) error { return k.NewSession("key").Wait(ctx, "wait") },
	"limiter": func(ctx context.Context, k *Keeper) error {
		return Draw{Refunds: new(Backlog), Op: "wait", Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1}.Wait(ctx, takenFrom{k.store.(*failingStore)})
	},
}

// takenFrom is a bucket at the store.
type takenFrom struct{ *failingStore }

func (s takenFrom) Take(context.Context, Draw) (Turn, error) { return Turn{Taken: true}, s.now() }

func (s takenFrom) Return(context.Context, Draw) error { return s.now() }

// eachCall runs f for each call, in a bubble of its own.
func eachCall(t *testing.T, f func(b *bench, k *Keeper, s *failingStore, call func(context.Context) error)) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				k, s := b.failingProcess()
				f(b, k, s, func(ctx context.Context) error { return call(ctx, k) })
				s.with(nil)
			})
		})
	}
}

// TestUnknownErrorLasts: one error of an unknown kind, and nothing else for longer than a
// TTL, is final for a call that nothing else would end.
func TestUnknownErrorLasts(t *testing.T) {
	eachCall(t, func(b *bench, k *Keeper, s *failingStore, call func(context.Context) error) {
		s.with(Unknown(errUpstream))
		start := time.Now()
		err := call(context.Background())
		if took := time.Since(start); !IsPermanent(err) || !errors.Is(err, errUpstream) || took < unknownLimit || took > time.Minute+2*PollBound {
			b.Errorf("%v, after %v", err, took)
		}
	})
}

// TestUnknownErrorAmongOthers: what comes and goes is waited out, and so is the network.
func TestUnknownErrorAmongOthers(t *testing.T) {
	eachCall(t, func(b *bench, k *Keeper, s *failingStore, call func(context.Context) error) {
		n := 0
		s.by(func() error {
			if n++; n%20 == 0 {
				return errNetwork
			}
			return Unknown(fmt.Errorf("%w %d", errUpstream, n/5))
		})
		ended := make(chan error, 1)
		go func() { ended <- call(context.Background()) }()
		for _, refuse := range []func() error{nil, func() error { return errNetwork }} {
			if refuse != nil {
				s.by(refuse)
			}
			time.Sleep(29 * time.Minute) // less than an operation is remembered for
			b.waits("it", ended)
			time.Sleep(time.Second)
		}
		s.with(nil)
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

// TestTimeoutNamesRedis: a call that gives up says what Redis has failed with, also with an
// unknown error that has lasted.
func TestTimeoutNamesRedis(t *testing.T) {
	eachCall(t, func(b *bench, k *Keeper, s *failingStore, call func(context.Context) error) {
		for _, refused := range []error{errNetwork, Unknown(errUpstream)} {
			s.with(refused)
			start := time.Now()
			ctx, cancel := context.WithTimeout(b.Context(), 3*time.Minute)
			err := call(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, refused) || !strings.Contains(err.Error(), "Redis: ") {
				b.Error(err)
			}
			b.within("it gives up", start, 3*time.Minute+2*courtesy)
			time.Sleep(2 * time.Minute) // what was to be undone is given up too
		}
	})
}

// TestTimeoutBehindARelease waits for the hold before it, which Redis does not take back.
func TestTimeoutBehindARelease(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.failingProcess()
		held := b.acquire(k, time.Minute)
		s.with(errNetwork)
		go held.Release()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		if err := new(Lease).Acquire(ctx, k, new(params(time.Minute))); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errNetwork) {
			b.Error(err)
		}
		p := params(time.Minute)
		p.Try = true
		if err := new(Lease).Acquire(b.Context(), k, &p); !errors.Is(err, errNetwork) {
			b.Errorf("a try: %v", err)
		}
		s.with(nil)
	})
}

// TestDeniedRelease takes the rights from a holder, and gives them back: what was released
// is released in the end, by one who waits for that, and those behind it are not kept waiting.
func TestDeniedRelease(t *testing.T) {
	denied := Denied(errors.New("NOPERM"))
	for name, c := range map[string]struct {
		params Params
		kind   Kind
	}{"lock": {params(time.Minute), Mutex}, "permits": {taking(1, 4), Semaphore}} {
		for _, others := range []bool{false, true} {
			if others && c.kind == Mutex {
				continue
			}
			t.Run(fmt.Sprint(name, ", others held ", others), func(t *testing.T) {
				inBubble(t, func(b *bench) {
					k, s := b.failingProcess()
					held := b.take(k, c.params)
					if others {
						b.take(k, c.params)
					}
					s.with(denied)
					released := make(chan error, 1)
					go func() { released <- held.Release() }()
					time.Sleep(10 * time.Second)
					b.waits("the release", released)
					start := time.Now()
					if err := new(Lease).Acquire(b.Context(), k, &c.params); !IsDenied(err) {
						b.Errorf("behind it: %v", err)
					}
					b.within("behind it", start, PollBound+time.Millisecond)
					s.with(nil)
					if err := <-released; err != nil {
						b.Error(err)
					}
					if c.kind == Mutex && b.owner() != "" {
						b.Error("it is still held")
					} else if c.kind != Mutex {
						b.uses(Semaphore, int64(map[bool]int{true: 1}[others]))
					}
				})
			})
		}
	}
}

// TestDeniedForLong: the release gives up when the hold has ended by itself. What others of the
// process keep alive is lowered with the next renewal.
func TestDeniedForLong(t *testing.T) {
	denied := Denied(errors.New("NOPERM"))
	inBubble(t, func(b *bench) {
		k, s := b.failingProcess()
		held := b.acquire(k, time.Minute)
		s.with(denied)
		start := time.Now()
		if err := held.Release(); !IsDenied(err) {
			b.Error(err)
		}
		if took := time.Since(start); took < 50*time.Second || took > time.Minute {
			b.Errorf("it gave up after %v", took)
		}
		s.with(nil)
	})
	inBubble(t, func(b *bench) {
		k, s := b.failingProcess()
		b.take(k, taking(1, 4))
		freed := b.take(k, taking(1, 4))
		s.with(denied)
		if err := freed.Release(); !IsDenied(err) {
			b.Error(err)
		}
		b.uses(Semaphore, 2)
		s.with(nil)
		time.Sleep(time.Minute)
		b.uses(Semaphore, 1)
	})
}

// TestDeniedAtOnce: a call without the rights fails at once, again and again, whatever the one
// before it has left to undo.
func TestDeniedAtOnce(t *testing.T) {
	eachCall(t, func(b *bench, k *Keeper, s *failingStore, call func(context.Context) error) {
		s.with(Denied(errors.New("NOPERM")))
		for range 3 {
			start := time.Now()
			if err := call(context.Background()); !IsDenied(err) {
				b.Error(err)
			}
			b.within("it fails", start, 20*time.Millisecond)
		}
	})
}
