package mutex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// MaxValueSize is the size of the largest value of a [Flight], in bytes.
const MaxValueSize = 1 << 20

// ErrValueTooLarge is returned for a value of more than MaxValueSize bytes.
var ErrValueTooLarge = errors.New("baton: value too large")

// A Flight works like a [golang.org/x/sync/singleflight.Group] that processes share. If calls
// with the same key overlap, in any process, one of them calls its function, and all return
// its value. With Keep, the value is cached, and a stampede of callers leads to one call.
//
// The function runs under a [Mutex] of its key. Other processes get the value from Redis. It
// stays there for Keep plus Stale, but at least 3.6 s. If the function fails, all callers in its
// process get the error. The next process in line calls its own function.
//
// A Flight must be created by [NewFlight] and must not be copied after first use. There is
// nothing to close.
//
// [golang.org/x/sync/singleflight.Group]: https://pkg.go.dev/golang.org/x/sync/singleflight
type Flight struct {
	// Keep is how long a value is returned without calling f again. With 0, only
	// callers that asked before the value was ready get it. It is truncated to
	// milliseconds. Set it, like all fields, before first use.
	Keep time.Duration

	// Stale begins when Keep ends. During Stale, callers still get the old value while one
	// process calls f again. The callers of that process get the old value, too: f runs in
	// the background. If f then fails, its error is dropped, and the next caller starts
	// another call.
	Stale time.Duration

	// NotFound is an error by which f reports that there is no value, such as
	// [database/sql.ErrNoRows]. It is kept like a value, for KeepNotFound: the callers of all
	// processes get this error.
	NotFound     error
	KeepNotFound time.Duration

	// TTL is how long the lock lasts without a renewal. NewFlight sets it to 10 s. If the
	// process that runs the function dies, other processes wait up to TTL. See [Mutex].
	TTL time.Duration

	// Label is shown by [Flight.Inspect] next to host and PID, for people. It is truncated
	// to 100 bytes.
	Label string

	// Trace, if not nil, receives the events of the Mutex under which each function runs. A
	// call that finds a value at once has no events. A call that waits and then finds the
	// value ends with a Failed event and ErrValueFound.
	Trace *Trace

	prefix string
	mu     sync.Mutex
	calls  map[string]*flightCall
	valueStore
}

// FlightResult is received from the channel of [Flight.DoChan].
type FlightResult struct {
	Val    []byte
	Err    error
	Shared bool
}

// NewFlight returns a Flight whose keys in Redis begin with prefix, with the default TTL.
// Unless Keep is set, later calls make a new value. A nil client makes the first operation fail.
func NewFlight(rdb redis.UniversalClient, prefix string) *Flight {
	return &Flight{TTL: DefaultTTL, prefix: prefix, calls: make(map[string]*flightCall), valueStore: newValueStore(rdb)}
}

// A flightCall is what the callers of one process wait for: one value of one key. The mutex of
// the Flight guards it until done is closed.
type flightCall struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed when the result is there
	decided bool          // which is so
	waiting int           // callers
	joined  int           // callers until now
	chans   map[chan FlightResult]func() bool

	result FlightResult
	panic  *flightPanic // of f
	goexit bool         // f has ended its goroutine
}

// A flightPanic is a panic of f in another goroutine.
type flightPanic struct {
	value any
	stack []byte
}

func (p *flightPanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

func (p *flightPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// Do returns the value of key: a kept value, the value of an overlapping call in any process,
// or the value of f. shared reports whether the value came from Redis, or was also given to
// other callers in this process. Callers must not modify the value. The key must not be empty
// if the prefix is.
//
// ctx bounds the wait of this caller. The ctx passed to f has the values of the first caller's
// ctx. It is canceled when nobody in this process waits for the value any more, and with the
// cause ErrLost if the lock is lost. If f returns a value after this cancellation, the remaining
// callers get it. The value is not kept. An error of f is returned to all callers of this
// process. A panic of f panics in the callers of Do. If there are none, or if others wait by
// DoChan, it panics in a goroutine of its own.
//
// A kept value costs one request. While Redis is unreachable Do retries until ctx is done,
// and then returns ctx's error and the last Redis error. A value of more than MaxValueSize bytes
// is ErrValueTooLarge.
func (fl *Flight) Do(ctx context.Context, key string, f func(context.Context) ([]byte, error)) (b []byte, shared bool, err error) {
	c, err := fl.join(ctx, key, f, nil)
	if err != nil {
		return nil, false, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if fl.leave(c, key, nil) {
			return nil, false, retry.Wrap("do", fl.prefix+key, retry.CtxError(ctx))
		}
	}
	if c.panic != nil {
		panic(c.panic)
	}
	if c.goexit {
		runtime.Goexit()
	}
	return c.result.Val, c.result.Shared, c.result.Err
}

// DoChan is like Do but returns at once, with a channel that receives the result. The channel
// receives exactly one result and is never closed. If ctx is done before the value is
// ready, the result is ctx's error.
func (fl *Flight) DoChan(ctx context.Context, key string, f func(context.Context) ([]byte, error)) <-chan FlightResult {
	ch := make(chan FlightResult, 1)
	if _, err := fl.join(ctx, key, f, ch); err != nil {
		ch <- FlightResult{Err: err}
	}
	return ch
}

// Forget deletes the value of key for all processes. A running call of f continues. Later
// callers wait for its end, but do not get its value; one of them calls its own function.
// While Redis is unreachable Forget retries until ctx is done.
func (fl *Flight) Forget(ctx context.Context, key string) error {
	if err := fl.usable("forget", fl.prefix+key, "Flight"); err != nil {
		return err
	}
	fl.mu.Lock()
	delete(fl.calls, key)
	fl.mu.Unlock()
	return fl.delete(ctx, "forget", fl.prefix+key)
}

// Inspect returns which process runs its function for key, the number of waiting processes, and
// the first of them in order. See [Mutex.Inspect].
func (fl *Flight) Inspect(ctx context.Context, key string) (Status, error) {
	if err := fl.usable(opInspect, fl.prefix+key, "Flight"); err != nil {
		return Status{}, err
	}
	return inspectKey(ctx, fl.store.Manager(), nil, lease.Mutex, fl.prefix+key)
}

// join adds a caller to the call of its key, and begins one if there is none. The result is
// sent to ch, if it is not nil.
func (fl *Flight) join(ctx context.Context, key string, f func(context.Context) ([]byte, error), ch chan FlightResult) (*flightCall, error) {
	if f == nil {
		panic("baton: Flight of a nil function")
	}
	if err := fl.usable("do", fl.prefix+key, "Flight", fl.Keep, fl.Stale, fl.KeepNotFound); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, retry.Wrap("do", fl.prefix+key, retry.CtxError(ctx))
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	c := fl.calls[key]
	if c == nil {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &flightCall{cancel: cancel, done: make(chan struct{}), chans: make(map[chan FlightResult]func() bool)}
		fl.calls[key] = c
		go fl.run(runCtx, c, key, f)
	}
	c.joined++
	if c.joined > 1 && !c.decided {
		c.result.Shared = true
	}
	switch {
	case c.decided && ch != nil: // by a stale value
		ch <- c.result
	case c.decided:
	case ch == nil:
		c.waiting++
	default:
		c.waiting++
		c.chans[ch] = context.AfterFunc(ctx, func() {
			if fl.leave(c, key, ch) {
				ch <- FlightResult{Err: retry.Wrap("do", fl.prefix+key, retry.CtxError(ctx))}
			}
		})
	}
	return c, nil
}

// leave takes a caller whose ctx has ended from the call, unless the result is there. The
// last one ends the run.
func (fl *Flight) leave(c *flightCall, key string, ch chan FlightResult) bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if c.decided {
		return false
	}
	delete(c.chans, ch)
	if c.waiting--; c.waiting == 0 {
		c.cancel()
		fl.drop(c, key)
	}
	return true
}

// drop lets nobody join the call any more. The Flight is locked.
func (fl *Flight) drop(c *flightCall, key string) {
	if fl.calls[key] == c {
		delete(fl.calls, key)
	}
}

// decide delivers the result of a call.
func (fl *Flight) decide(c *flightCall, val []byte, shared bool, err error) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if c.decided {
		return
	}
	c.result = FlightResult{val, err, shared || c.result.Shared}
	c.decided = true
	close(c.done)
	for ch, stop := range c.chans {
		stop()
		ch <- c.result
	}
}

// run finds or makes the value.
func (fl *Flight) run(ctx context.Context, c *flightCall, key string, f func(context.Context) ([]byte, error)) {
	defer c.cancel()
	reader := &lease.ValueReader{Overlap: true, Stale: fl.Stale > 0}
	l, reply, err := fl.lock(ctx, lease.Params{
		Kind: lease.Mutex, Key: fl.prefix + key, Label: fl.Label, TTL: fl.TTL, Weight: 1, Trace: fl.Trace.hooks(), Value: reader,
	})
	switch {
	case err != nil:
		fl.end(c, key, nil, false, err)
	case l == nil:
		val, err := fl.decode(reply.Value.Data)
		fl.end(c, key, val, true, err)
	default:
		if fl.Stale > 0 && reply.Value.StaleAt(reply.Now) {
			val, err := fl.decode(reply.Value.Data)
			fl.decide(c, val, true, err)
		}
		fl.make(ctx, c, key, l, reply, f)
	}
}

func (fl *Flight) end(c *flightCall, key string, val []byte, shared bool, err error) {
	fl.mu.Lock()
	fl.drop(c, key)
	fl.mu.Unlock()
	fl.decide(c, val, shared, err)
}

// make calls f under the lease, and releases the lease with the value.
func (fl *Flight) make(ctx context.Context, c *flightCall, key string, l *Lease, begun lease.ValueReply, f func(context.Context) ([]byte, error)) {
	var val []byte
	var err error
	returned, recovered := false, false
	defer func() {
		switch {
		case returned:
			fl.release(ctx, l, begun, val, err)
			fl.end(c, key, val, false, err)
			return
		case recovered:
		default:
			c.goexit = true
			err = retry.Wrap("do", fl.prefix+key, errors.New("f has ended its goroutine"))
		}
		_ = l.Unlock()
		fl.mu.Lock()
		crash := c.panic != nil && (c.waiting == 0 || len(c.chans) > 0 || c.decided)
		fl.mu.Unlock()
		if crash {
			go panic(c.panic)
			select {} // so that this goroutine is in the crash dump
		}
		fl.end(c, key, nil, false, err)
	}()
	func() {
		defer func() {
			if !returned {
				if v := recover(); v != nil { // nil: runtime.Goexit
					c.panic, recovered = &flightPanic{v, debug.Stack()}, true
				}
			}
		}()
		l.run(ctx, func(ctx context.Context) { val, err = f(ctx) })
		returned = true
	}()
	if returned && len(val) > MaxValueSize && err == nil {
		val, err = nil, retry.Wrap("do", fl.prefix+key, fmt.Errorf("%w: %d bytes, at most %d", ErrValueTooLarge, len(val), MaxValueSize))
	}
}

// release ends the lease, and stores the value if it must be kept.
func (fl *Flight) release(ctx context.Context, l *Lease, begun lease.ValueReply, val []byte, err error) {
	w := lease.ValueWrite{Kind: "flight", Reset: begun.Reset, Useful: true}
	switch {
	case err == nil:
		w.Data, w.Fresh, w.Stale = "+"+string(val), fl.Keep, fl.Stale
	case fl.NotFound != nil && errors.Is(err, fl.NotFound):
		w.Data, w.Fresh = "-", fl.KeepNotFound
	default:
		_ = l.Unlock()
		return
	}
	w.TTL = max(w.Fresh+min(w.Stale, math.MaxInt64-w.Fresh), lease.WaiterTTL) // callers that wait have the time to read it
	_, _ = l.single.ReleaseValue(context.WithoutCancel(ctx), fl.store, w)
}

func (fl *Flight) decode(data string) ([]byte, error) {
	switch {
	case data != "" && data[0] == '+':
		return []byte(data[1:]), nil
	case data == "-" && fl.NotFound != nil:
		return nil, fl.NotFound
	}
	return nil, retry.Permanent(errors.New("baton: the key holds a value that is not of this Flight"))
}
