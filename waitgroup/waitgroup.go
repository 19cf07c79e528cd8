package waitgroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// DefaultTTL is the TTL of a WaitGroup created by New.
const DefaultTTL = 10 * time.Second

var (
	// ErrLost is returned for a task that was lost before Done, and by a wait if Redis
	// lost the group.
	ErrLost = taskgroup.ErrTaskLost
	// ErrAbandoned matches the [AbandonedError] of a wait.
	ErrAbandoned = taskgroup.ErrAbandoned
	// ErrNothingToClaim is returned by Claim if the counter is 0: everything that was
	// added is done or claimed.
	ErrNothingToClaim = taskgroup.ErrNothingToClaim
	// ErrNegativeCounter is returned if the counter would become negative. The
	// counter is unchanged.
	ErrNegativeCounter = taskgroup.ErrNegativeCounter
	// ErrDone is returned for a task that Done or Abandon has ended.
	ErrDone = taskgroup.ErrDone
)

// An AbandonedError is returned by a wait whose generation is finished except for
// abandoned tasks. Tasks is their number.
type AbandonedError struct{ Tasks int }

func (e *AbandonedError) Error() string { return (*taskgroup.AbandonedError)(e).Error() }

// Is reports whether target is ErrAbandoned.
func (e *AbandonedError) Is(target error) bool { return (*taskgroup.AbandonedError)(e).Is(target) }

// A WaitGroup works like a [sync.WaitGroup] that processes share: all WaitGroups with the
// same key count together, wherever they run. Most callers should use [WaitGroup.Do] for their
// own work, [WaitGroup.Claim] for work that another process has added, and
// [WaitGroup.WaitContext]. It differs from sync.WaitGroup in four ways, because there is a
// network in between:
//
//   - A process may die. Tasks of Go, Do and Claim are then abandoned, and waits report
//     it. What Add has counted stays.
//   - An operation takes one round trip to Redis.
//   - The group may be reused before the waits for its last generation have returned.
//   - Wait panics where WaitContext returns an error.
//
// In the terminology of [the Go memory model], within a process a call to Done, and the
// return of a function passed to Go or Do, “synchronizes before” the return of any wait
// that it unblocks.
//
// A WaitGroup must be created by [New] and must not be copied after first use. There is
// nothing to close: a process that has no tasks and does not wait uses no resources.
//
// Redis remembers the operations of each WaitGroup, so that a retried request counts once.
// This is one small key for each WaitGroup value, kept for 65 minutes after its last
// change. Create one WaitGroup for a key and reuse it.
//
// [the Go memory model]: https://go.dev/ref/mem
type WaitGroup struct {
	// TTL is how long a task lasts after its process has died. New sets it to 10 s. It is
	// truncated to milliseconds and must be between 10 ms and twelve hours. Set it before
	// first use.
	TTL time.Duration

	// Label is shown by [WaitGroup.Inspect] next to host and PID, for people. It is
	// truncated to 100 bytes. Set it before first use.
	Label string

	// Trace, if not nil, receives the events of this process's tasks, and failed
	// requests. Set it before first use.
	Trace *Trace

	key     string
	session *taskgroup.Session
	err     error // why session is nil
}

// New returns a wait group for key, with the default TTL. The key itself is the group: a
// sorted set. It must not be empty and must not start with "baton:{". An invalid key or a
// nil client makes the first operation fail.
func New(rdb redis.UniversalClient, key string) *WaitGroup {
	wg := &WaitGroup{TTL: DefaultTTL, key: key}
	store, err := redisstore.StoreFor(rdb)
	if err != nil {
		wg.err = err
		return wg
	}
	wg.session = store.Groups().NewSession(key)
	wg.session.Trace = func() trace.Trace { return wg.Trace.hooks() }
	return wg
}

// Add adds delta, which may be negative, to the counter. If nothing is left after the
// change, all waits in all processes return. Add panics if the counter would become
// negative, and on permanent errors. While Redis is unreachable it retries with backoff.
// After an hour it panics, because Redis may no longer remember whether the operation was
// counted.
//
// Use Add for work that processes [WaitGroup.Claim]. For work of this process, most callers
// should use [WaitGroup.Do]: what Add has counted stays if the process that should call Done
// dies.
func (wg *WaitGroup) Add(delta int) { must(wg.AddContext(context.Background(), delta)) }

// Done decrements the counter by one. It is Add(-1).
func (wg *WaitGroup) Done() { wg.Add(-1) }

// AddContext is like Add but returns an error, and stops retrying when ctx is done. It
// returns ErrNegativeCounter if the counter would become negative.
//
// If AddContext returns an error, nothing is counted. If ctx is done during a request, its
// effect is undone when Redis can be reached. There are these exceptions:
//
//   - The undo is tried for one minute, and only while the program runs. After that the
//     change may stay counted.
//   - The end of a generation cannot be undone.
//   - Counts that others have already claimed or finished cannot be undone.
//   - After a permanent error, or after an hour without Redis, nothing is undone. The change is
//     counted if an earlier attempt was executed and its reply was lost.
func (wg *WaitGroup) AddContext(ctx context.Context, delta int) error {
	const op = "add"
	switch {
	case wg.session == nil:
		return wg.unusable(op)
	case ctx.Err() == nil && delta == 0:
		return nil
	case delta > math.MaxInt32 || delta < math.MinInt32:
		return retry.Permanent(fmt.Errorf("baton: %s %q: invalid delta %d", op, wg.key, delta))
	}
	outcome, err := wg.session.Update(ctx, op, taskgroup.Operation{Op: taskgroup.OpAdd, Delta: int64(delta)})
	if err == nil && outcome == taskgroup.Rejected {
		err = fmt.Errorf("baton: %s %d to %q: %w", op, delta, wg.key, ErrNegativeCounter)
	}
	return err
}

// DoneContext is like Done but returns an error. It is AddContext(ctx, -1).
func (wg *WaitGroup) DoneContext(ctx context.Context) error { return wg.AddContext(ctx, -1) }

// Wait blocks until the current generation is finished. While Redis is unreachable it retries
// with backoff. It panics if tasks were abandoned, if Redis lost the group, and on permanent
// errors.
func (wg *WaitGroup) Wait() {
	err := wg.WaitContext(context.Background())
	if err != nil && crashing.Load() {
		select {} // as with sync, the program ends with the panic of f, not with one of Wait
	}
	must(err)
}

// crashing is set when a function passed to Go has panicked.
var crashing atomic.Bool

// WaitContext blocks until the current generation is finished or ctx is done, and then
// returns within milliseconds. If nothing is left, it returns the result of the last
// generation at once. While Redis is unreachable it retries with backoff.
//
// It returns nil if everything is done, and an [AbandonedError] if tasks were abandoned. It
// returns ErrLost if Redis lost the group: the result is then unknown. All waits of a process
// on one group together make one request per second and use one goroutine.
func (wg *WaitGroup) WaitContext(ctx context.Context) error {
	if wg.session == nil {
		return wg.unusable(opWait)
	}
	return waitResult(wg.key).Build(wg.session.Wait(ctx, opWait))
}

// WaitChan is like WaitContext but returns at once, with a channel that receives the result.
// The channel receives exactly one value and is never closed. If ctx is done first, the value
// is ctx's error. To stop waiting, cancel ctx.
func (wg *WaitGroup) WaitChan(ctx context.Context) <-chan error {
	ch := result.NewChan(waitResult(wg.key))
	if wg.session == nil {
		ch.Send(wg.unusable(opWait))
	} else {
		wg.session.WaitChan(ctx, opWait, ch)
	}
	return ch.C()
}

const opWait = "wait for"

// waitResult builds the results of waits for the group at this key.
type waitResult string

func (key waitResult) Build(err error) error {
	if a, ok := errors.AsType[*taskgroup.AbandonedError](err); ok {
		return retry.Wrap(opWait, string(key), (*AbandonedError)(a))
	}
	return err
}

// Go counts a task and runs f in a new goroutine. When f returns, the task is done. If f
// panics, the task is abandoned and the program crashes, as with sync. Go blocks until the
// task is counted. It retries and panics as Add does. A nil f panics at once.
//
// Use Do to learn that the task was lost.
func (wg *WaitGroup) Go(f func()) {
	if f == nil { // before counting a task
		panic("baton: Go of a nil function")
	}
	t, err := wg.start(context.Background(), "go", taskgroup.OpStart)
	if err != nil {
		panic(err)
	}
	go func() {
		defer func() {
			if x := recover(); x != nil {
				// If it counted as done, waits in other processes would return nil
				// before this program has crashed.
				crashing.Store(true)
				t.abandonAfterPanic()
				panic(x)
			}
			_ = t.Done()
		}()
		f()
	}()
}

// Do counts a task, runs f in the caller's goroutine, and returns f's error. To run f
// concurrently, call Do in a goroutine of your own, or of an errgroup. The ctx passed to f
// is canceled with the cause ErrLost if the task is lost. While Redis is unreachable, Do
// retries to count the task until ctx is done.
//
// When f returns, the task is done, even if f returned an error. If [Task.Done] fails, Do returns
// f's error joined with that of Done. ErrLost means that the task counts as abandoned. If f
// panics or calls [runtime.Goexit], the task is abandoned. If the task
// cannot be counted before ctx is done, f is not called. A nil f panics at once.
func (wg *WaitGroup) Do(ctx context.Context, f func(context.Context) error) (err error) {
	if f == nil { // before counting a task
		panic("baton: Do of a nil function")
	}
	t, err := wg.start(ctx, "do", taskgroup.OpStart)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			t.abandonAfterPanic()
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

// Claim takes over one of the counts that Add has added, in any process, and makes it a
// task of this process. It returns ErrNothingToClaim if the counter is 0. While Redis is
// unreachable it retries with backoff until ctx is done.
func (wg *WaitGroup) Claim(ctx context.Context) (*Task, error) {
	return wg.start(ctx, "claim", taskgroup.OpClaim)
}

func (wg *WaitGroup) start(ctx context.Context, opName string, op taskgroup.Op) (*Task, error) {
	if wg.session == nil {
		return nil, wg.unusable(opName)
	}
	t, err := wg.session.Start(ctx, opName, op, wg.TTL, wg.Label)
	if err != nil {
		return nil, err
	}
	return &Task{t}, nil
}

// unusable returns why wg cannot be used.
func (wg *WaitGroup) unusable(op string) error {
	if wg.err != nil {
		return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, wg.key, wg.err))
	}
	return retry.Permanent(fmt.Errorf("baton: %s: the WaitGroup was not made by New", op))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
