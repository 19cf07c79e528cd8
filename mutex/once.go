package mutex

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// ErrNoRun is returned by [Once.Last] if no run is on record.
var ErrNoRun = errors.New("baton: no run on record")

// A Once works like a [sync.Once] that processes share: of all callers with the same key, one
// runs its function, and the others wait for it. If the function fails or panics, or its
// process dies, the next in line runs its own function. When a run has succeeded, the Once is
// done. A mark in Redis records that. Most callers should use [Once.DoContext].
//
// The function runs under a [Mutex], and only its holder writes the mark. Two runs can succeed
// if a process loses the lock, or dies between its run and the mark, or if Redis loses the
// mark. So f should be safe to repeat.
//
// A Once must be created by [NewOnce] and must not be copied after first use. There is
// nothing to close.
type Once struct {
	// Every, if positive, is how long the Once stays done. It counts from the start of the
	// last successful run, by the server's clock. It is truncated to milliseconds. Set it
	// before first use, to the same value in all processes.
	Every time.Duration

	// A mark in Redis records that the Once is done. Keep is the life of the mark; 0 means no
	// limit. Without Every, the Once is done while the mark exists. With Every, it is kept for
	// the longer of the two. Set it before first use.
	Keep time.Duration

	// TTL is how long the lock lasts without a renewal. NewOnce sets it to 10 s. If the
	// process that runs the function dies, other processes wait up to TTL. Set it before
	// first use. See [Mutex].
	TTL time.Duration

	// Label is shown by [Once.Last] and [Once.Inspect] next to host and PID, for people. It
	// is truncated to 100 bytes. Set it before first use.
	Label string

	// Trace, if not nil, receives the events of the Mutex under which the function runs. A call
	// that finds the mark at once has no events. A call that waits and then finds the mark ends
	// with a Failed event and ErrValueFound. Set it before first use.
	Trace *Trace

	key  string
	gate chan struct{} // full while a call through this Once is under way
	seen atomic.Int64  // how often calls have found the Once done
	over atomic.Bool   // Do need not ask
	valueStore
}

// NewOnce returns a Once for key, with the default TTL. The key must not be empty and
// must not start with "baton:{". An invalid key, a nil client, or a key that holds a value of
// a Flight makes the first operation fail.
func NewOnce(rdb redis.UniversalClient, key string) *Once {
	return &Once{TTL: DefaultTTL, key: key, gate: make(chan struct{}, 1), valueStore: newValueStore(rdb)}
}

// Do runs f unless the Once is done. While another process runs its function, Do waits. While
// Redis is unreachable it retries with backoff. It panics on permanent errors, as [Mutex.Lock]
// does.
//
// Without Every and Keep, one Once value runs f at most once, as sync.Once does. After Do has
// returned, later calls of Do make no request. If f panics, later calls through this Once return
// at once, as with sync.Once. Unlike sync.Once, other processes then run their functions.
func (o *Once) Do(f func()) {
	if f == nil {
		panic("baton: Once of a nil function")
	}
	if o.over.Load() {
		return
	}
	keeps := o.Every == 0 && o.Keep == 0
	ran, err := o.do(context.Background(), func(context.Context) error {
		defer o.over.Store(keeps)
		f()
		return nil
	}, o.over.Load, false)
	if err != nil && !ran {
		panic(err)
	}
	o.over.Store(keeps)
}

// DoContext runs f unless the Once is done, and waits while another goroutine or process runs
// its function. ran reports whether it ran f. If f returns an error or panics, the Once is not
// done, and the next in line runs its function. If ran is true and err is nil, the mark has
// been written, unless Reset was called during the run.
//
// The ctx passed to f is canceled with the cause ErrLost if the lock is lost; f should then
// return. [LeaseFromContext] returns the lease. DoContext returns f's error, joined with
// ErrLost if the lock was lost before the mark was written. Another process may then run its
// function, too. A nil f panics.
//
// If the Once is done, DoContext makes one request. If ctx is done, or Redis is unreachable,
// it returns as [Mutex.LockContext] does.
func (o *Once) DoContext(ctx context.Context, f func(context.Context) error) (ran bool, err error) {
	return o.do(ctx, f, nil, false)
}

// TryDo is like DoContext but does not wait. It returns ErrLocked if another process runs its
// function, or if another call through this Once is under way. It makes a single attempt and
// returns an error if Redis does not answer.
func (o *Once) TryDo(ctx context.Context, f func(context.Context) error) (ran bool, err error) {
	return o.do(ctx, f, nil, true)
}

// do runs f unless the Once is done, in Redis or according to over.
func (o *Once) do(ctx context.Context, f func(context.Context) error, over func() bool, try bool) (ran bool, err error) {
	if f == nil {
		panic("baton: Once of a nil function")
	}
	if err := o.usable("run", o.key, "Once", o.Every, o.Keep); err != nil {
		return false, err
	}
	seen := o.seen.Load()
	if err := o.enter(ctx, try); err != nil {
		return false, retry.Wrap("run", o.key, err)
	}
	defer func() { <-o.gate }()
	if o.seen.Load() != seen || over != nil && over() { // meanwhile
		return false, nil
	}
	l, reply, err := o.lock(ctx, lease.Params{
		Kind: lease.Mutex, Key: o.key, Label: o.Label, TTL: o.TTL, Weight: 1, Try: try, Trace: o.Trace.hooks(), Value: new(lease.ValueReader),
	})
	if err != nil {
		return false, err
	}
	if l == nil {
		if _, ok := parseRun(reply.Value); !ok {
			return false, retry.Wrap("run", o.key, errNotOfOnce)
		}
		o.seen.Add(1)
		return false, nil
	}
	return true, o.run(ctx, l, reply, f)
}

// enter waits until no other call through this Once is under way. So all of them together make
// the requests of one.
func (o *Once) enter(ctx context.Context, try bool) error {
	if ctx.Err() != nil {
		return retry.CtxError(ctx)
	}
	if try {
		select {
		case o.gate <- struct{}{}:
			return nil
		default:
			return ErrLocked
		}
	}
	select {
	case o.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return retry.CtxError(ctx)
	}
}

// run calls f under the lease, and releases the lease with the record of the run.
func (o *Once) run(ctx context.Context, l *Lease, begun lease.ValueReply, f func(context.Context) error) (err error) {
	began := time.Now()
	err = errors.New("f panicked or ended its goroutine")
	defer func() {
		text, w := "", lease.ValueWrite{Kind: "once", TTL: o.Keep, Reset: begun.Reset}
		if err != nil {
			text = err.Error()
		} else {
			w.Useful, w.Fresh = true, -1
			if o.Every > 0 {
				w.Fresh, w.FreshSince = o.Every, begun.Now
			}
		}
		if o.Keep > 0 {
			w.TTL = max(o.Every, o.Keep)
		}
		w.Data = fmt.Sprintf("%d %d %s", begun.Now.UnixMicro(), time.Since(began).Microseconds(), text[:min(len(text), 1000)])
		outcome, lost := l.single.ReleaseValue(context.WithoutCancel(ctx), o.store, w)
		switch {
		case lost != nil:
		case outcome == lease.ValueStored && err == nil:
			o.seen.Add(1)
		case outcome == lease.ValueNotHeld || outcome == lease.ValueNewer:
			lost = retry.Wrap("run", o.key, ErrLost)
		}
		if lost != nil {
			err = errors.Join(err, lost)
		}
	}()
	l.run(ctx, func(ctx context.Context) { err = f(ctx) })
	return err
}

// Done reports whether the Once is done, so that DoContext would not run f now. It makes one
// request. While Redis is unreachable it retries until ctx is done.
func (o *Once) Done(ctx context.Context) (bool, error) {
	reply, err := o.state(ctx, "done")
	if err != nil || !reply.Value.FreshAt(reply.Now) {
		return false, err
	}
	if _, ok := parseRun(reply.Value); !ok {
		return false, retry.Wrap("done", o.key, errNotOfOnce)
	}
	return true, nil
}

// Reset deletes the mark, so that the Once is not done for any process, and the next caller
// runs its function. A run that is under way goes on, but writes no mark. Exception: another
// Once value without Every and Keep stays done if its Do has already returned. Reset retries as
// Done does.
func (o *Once) Reset(ctx context.Context) error {
	if err := o.usable("reset", o.key, "Once"); err != nil {
		return err
	}
	o.over.Store(false)
	return o.delete(ctx, "reset", o.key)
}

// A Run describes a run of a function that has returned, successfully or not.
type Run struct {
	Start time.Time     // by the server's clock
	Took  time.Duration // by the clock of its process
	By    Owner
	Err   string // the text of its error, up to 1,000 bytes; "" if it succeeded
}

// Last returns the last run, or ErrNoRun. A run whose process died or lost the lock is not
// recorded. Last retries as Done does.
func (o *Once) Last(ctx context.Context) (Run, error) {
	reply, err := o.state(ctx, "last run")
	if err != nil {
		return Run{}, err
	}
	if run, ok := parseRun(reply.Value); ok {
		return run, nil
	}
	return Run{}, retry.Wrap("last run", o.key, ErrNoRun)
}

var errNotOfOnce = retry.Permanent(errors.New("the key holds a value that is not of a Once"))

// parseRun returns the run that a value records. It reports false for a value that is not of a
// Once.
func parseRun(v *lease.Value) (run Run, ok bool) {
	if v == nil {
		return Run{}, false
	}
	start, rest, ok := strings.Cut(v.Data, " ")
	took, text, more := strings.Cut(rest, " ")
	us, err1 := strconv.ParseInt(start, 10, 64)
	n, err2 := strconv.ParseInt(took, 10, 64)
	if !ok || !more || err1 != nil || err2 != nil || start[0] == '+' { // + begins a value of a Flight
		return Run{}, false
	}
	return Run{time.UnixMicro(us), time.Duration(n) * time.Microsecond, Owner(v.Writer), text}, true
}

func (o *Once) state(ctx context.Context, op string) (lease.ValueReply, error) {
	if err := o.usable(op, o.key, "Once"); err != nil {
		return lease.ValueReply{}, err
	}
	return o.read(ctx, o.key, true)
}

// Inspect returns which process runs its function, the number of waiting processes, and the
// first of them in order. See [Mutex.Inspect].
func (o *Once) Inspect(ctx context.Context) (Status, error) {
	if err := o.usable(opInspect, o.key, "Once"); err != nil {
		return Status{}, err
	}
	return inspectKey(ctx, o.store.Manager(), nil, lease.Mutex, o.key)
}
