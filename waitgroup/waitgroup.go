package waitgroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// DefaultTTL is the TTL of a WaitGroup made by New.
const DefaultTTL = 10 * time.Second

var (
	// ErrNegative says that more was done than had been added. It has changed
	// nothing.
	ErrNegative = lease.ErrNegative
	// ErrNoTask says that nothing is left to join: what was added is done, or has
	// been joined.
	ErrNoTask = lease.ErrNoTask
	// ErrAbandoned says that tasks were lost, each by the death of its process or
	// because it could not be renewed. It is an [AbandonedError], which says how many.
	ErrAbandoned = lease.ErrAbandoned
	// ErrLost says that a task had ended before Done, or that Redis has lost the
	// group that was waited for.
	ErrLost = lease.ErrLost
	// ErrDone says that a task was ended by Done or Abandon.
	ErrDone = errors.New("baton: task done")
)

// AbandonedError is the [ErrAbandoned] of so many tasks.
type AbandonedError = lease.AbandonedError

// A WaitGroup works like a [sync.WaitGroup] that processes share: all that are
// made for the same key count together, wherever they run. Most callers want
// [WaitGroup.GoContext] or [WaitGroup.Join], and [WaitGroup.WaitContext]. Four
// things differ from sync, because a network is in the way:
//
//   - A process may die. Tasks of Go, GoContext and Join end with it, and those who
//     wait are told; what Add has counted stays.
//   - Operations take a round trip to Redis. While it is away they wait for it.
//   - The group may be used again while those who waited for its last round are yet to
//     return.
//   - Wait panics where WaitContext returns an error, for it has no other way to say that
//     not all was done.
//
// A WaitGroup is made by [New] and must not be copied after first use. It needs no
// Close: while this process has no tasks in it and does not wait, it costs nothing.
type WaitGroup struct {
	// TTL is how long a task of this process is kept when it has died. It is cut
	// to whole milliseconds, and is 10 of them at least, and twelve hours at most. Set it
	// before first use.
	TTL time.Duration

	// Label is what [WaitGroup.Inspect] says of the tasks of this process, beside host
	// and process id. It is for people; 100 bytes of it are kept. Set it before first
	// use.
	Label string

	// Trace, if not nil, is told what becomes of the tasks of this process, and of what
	// goes wrong. Set it before first use.
	Trace *Trace

	key     string
	session *lease.Session
	err     error // why there is no session
}

// New returns a wait group for the key. The key itself becomes the group: a sorted
// set. Any key will do but the empty one and those that begin with "baton:{", which
// are the library's own; these, and a nil client, make the first operation fail.
func New(rdb redis.UniversalClient, key string) *WaitGroup {
	wg := &WaitGroup{TTL: DefaultTTL, key: key}
	keeper, err := redisstore.Keeper(rdb)
	if err != nil {
		wg.err = err
		return wg
	}
	wg.session = keeper.NewSession(key)
	wg.session.Trace = &wg.Trace
	return wg
}

// Add adds delta, which may be negative, to the count. If nothing is left then,
// all who wait are released, in all processes. It panics if the count would be
// negative, and on what waiting cannot cure: a key that cannot be used, a key of
// another type, a user without the rights. While Redis is away it waits, with
// backoff; if that takes more than an hour it panics, for it cannot know any more
// whether it has counted.
//
// Callers should prefer [WaitGroup.Go]: what Add has counted waits for a Done,
// though the process that was to call it has died.
func (wg *WaitGroup) Add(delta int) { must(wg.AddContext(context.Background(), delta)) }

// Done takes one from the count, as Add(-1) does.
func (wg *WaitGroup) Done() { wg.Add(-1) }

// AddContext is like Add, but returns an error, and waits for Redis no longer than
// until ctx ends. ErrNegative says that the count would have been negative.
//
// With an error nothing is counted. If ctx has ended while Redis was asked, what it
// may have counted is taken back as soon as Redis can be reached, for as long as a minute; two
// things cannot be taken back: the end of the round, and what others have joined or
// done of it already.
func (wg *WaitGroup) AddContext(ctx context.Context, delta int) error {
	const op = "add"
	switch {
	case wg.session == nil:
		return wg.unusable(op)
	case ctx.Err() == nil && delta == 0:
		return nil
	case delta > math.MaxInt32 || delta < math.MinInt32:
		return lease.Permanent(fmt.Errorf("baton: %s %q: the delta is %d", op, wg.key, delta))
	}
	answer, err := wg.session.Change(ctx, op, lease.Change{What: lease.Add, Delta: int64(delta)})
	if err == nil && answer == lease.Refused {
		err = fmt.Errorf("baton: %s %d to %q: %w", op, delta, wg.key, ErrNegative)
	}
	return err
}

// DoneContext is like Done, with the errors of AddContext.
func (wg *WaitGroup) DoneContext(ctx context.Context) error { return wg.AddContext(ctx, -1) }

// Wait waits until the round is over that goes on. It panics if tasks were
// abandoned, if Redis has lost the group, and on what waiting cannot cure.
func (wg *WaitGroup) Wait() { must(wg.WaitContext(context.Background())) }

// WaitContext waits until the round is over that goes on, or until ctx ends, also
// for Redis to come back; it returns within milliseconds of that. If nothing is
// left, it returns at once what became of the last round.
//
// An [AbandonedError] says that the round is over and how many of its tasks were
// abandoned, and ErrLost that Redis has lost the group, so that nobody knows.
// However many wait in a process, they cost one request a second, and none
// costs a goroutine of its own.
func (wg *WaitGroup) WaitContext(ctx context.Context) error {
	const op = "wait for"
	if wg.session == nil {
		return wg.unusable(op)
	}
	return wg.session.Wait(ctx, op)
}

// WaitChan is like WaitContext but returns at once, with a channel that receives
// the result: one value. The channel is never closed. To stop waiting, end ctx.
func (wg *WaitGroup) WaitChan(ctx context.Context) <-chan error {
	const op = "wait for"
	box := lease.NewBox(lease.Bare{})
	if wg.session == nil {
		box.Put(wg.unusable(op))
	} else {
		wg.session.WaitChan(ctx, op, box)
	}
	return box.C()
}

// Go counts a task, and runs f in a new goroutine. The task is over when f
// returns, and abandoned if it panics, which ends the program as with sync. It waits
// for Redis, and panics, as Add does; f runs when the task has been counted.
//
// Who must know whether its task was lost meanwhile uses GoContext. A nil f panics at
// once.
func (wg *WaitGroup) Go(f func()) {
	if f == nil { // before it is counted
		panic("baton: Go of a nil function")
	}
	t, err := wg.start(context.Background(), "go", lease.Go)
	if err != nil {
		panic(err)
	}
	go func() {
		defer func() {
			if x := recover(); x != nil {
				// To call it done would let those who wait go on before the program
				// has died of this, as if the work had been done.
				t.panicked()
				panic(x)
			}
			_ = t.Done()
		}()
		f()
	}()
}

// GoContext counts a task, runs f in the goroutine of its caller, and returns what f
// returned; so it is called with go, or in the goroutine of an errgroup. The ctx of f is
// cancelled, with the cause ErrLost, if the task is lost. If Done has an error the
// result is joined with it: ErrLost says that the task has been counted as
// abandoned. An error of f does not: the task is done, and what its error means to the
// others is the caller's to say.
//
// If f panics, or ends its goroutine, the task is abandoned and the panic goes on. If
// the task cannot be counted until ctx ends, f is not called. A nil f panics at once.
func (wg *WaitGroup) GoContext(ctx context.Context, f func(context.Context) error) (err error) {
	if f == nil { // before it is counted
		panic("baton: GoContext of a nil function")
	}
	t, err := wg.start(ctx, "go", lease.Go)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			t.panicked()
		}
	}()
	inner, stop := t.Context(ctx)
	defer stop()
	err = f(inner)
	returned = true
	if lost := t.Done(); lost != nil {
		return errors.Join(err, lost)
	}
	return err
}

// Join takes over one of those that Add has counted, in this process or another,
// and makes it a task of this process. It returns ErrNoTask if there is none, and
// waits for Redis as AddContext does.
func (wg *WaitGroup) Join(ctx context.Context) (*Task, error) {
	return wg.start(ctx, "join", lease.Join)
}

func (wg *WaitGroup) start(ctx context.Context, op string, what lease.What) (*Task, error) {
	if wg.session == nil {
		return nil, wg.unusable(op)
	}
	t, err := wg.session.Start(ctx, op, what, wg.TTL, wg.Label)
	if err != nil {
		return nil, err
	}
	return &Task{t}, nil
}

// unusable returns why wg cannot be used.
func (wg *WaitGroup) unusable(op string) error {
	if wg.err != nil {
		return lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, wg.key, wg.err))
	}
	return lease.Permanent(fmt.Errorf("baton: %s: the WaitGroup was not made by New", op))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
