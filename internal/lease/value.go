package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A ValueStore keeps a value beside each mutex. Only the holder of the mutex writes it, under
// its fence. All calls are safe to repeat.
type ValueStore interface {
	// ReadValue returns the value beside the mutex at key, and who holds the mutex.
	ReadValue(ctx context.Context, key string) (ValueReply, error)
	// WriteValue stores a value if w.Token owns the mutex.
	WriteValue(ctx context.Context, w ValueWrite) (WriteOutcome, error)
	// ReleaseValue does what WriteValue does, and releases the mutex in the same step. It
	// reports whether w.Token owned the mutex.
	ReleaseValue(ctx context.Context, w ValueWrite) (outcome WriteOutcome, owned bool, err error)
	// DeleteValue deletes the value. If the mutex is held, its holder cannot store a value that
	// it began to make before: see ValueReply.Reset. It reports whether there was a value.
	DeleteValue(ctx context.Context, key string) (existed bool, err error)
	// ValueChannel returns the channel on which changes of the value are published.
	ValueChannel(key string) (string, error)
}

// A Value is what is stored beside a mutex.
type Value struct {
	Data      string
	Fence     int64 // of the hold that wrote it
	Writer    Owner
	WrittenAt time.Time     // by the server's clock
	Fresh     time.Duration // for how long after WrittenAt nobody makes another value
	Stale     time.Duration // for how long after that it is of use while somebody makes another
	Remaining time.Duration // negative if it does not expire
}

// FreshAt reports whether nobody makes another value yet.
func (v *Value) FreshAt(now time.Time) bool { return v != nil && now.Sub(v.WrittenAt) < v.Fresh }

// StaleAt reports whether the value is of use while somebody makes another.
func (v *Value) StaleAt(now time.Time) bool {
	return v != nil && !v.FreshAt(now) && now.Sub(v.WrittenAt)-v.Fresh < v.Stale
}

// ValueReply is the state of a value and of its mutex at one moment.
type ValueReply struct {
	Value     *Value        // nil if there is none
	Now       time.Time     // by the server's clock
	Holder    Owner         // of the mutex; its Token is "" if there is none
	HoldsFor  time.Duration // until the hold ends if not renewed; negative if it does not
	Reset     string        // names the last deletion under a held mutex; a writer passes it on
	Requested time.Time     // just before the request was sent, by this process's clock
}

// ValueWrite is a value to store.
type ValueWrite struct {
	Key, Token string
	Fence      int64
	Kind       string // what uses the value
	Data       string
	TTL        time.Duration // 0: kept until it is deleted
	Fresh      time.Duration // for how long nobody makes another value; negative: as long as it is kept
	Stale      time.Duration // for how long after that it is of use while somebody makes another
	FreshSince time.Time     // when Fresh begins, by the server's clock; zero: when the value is stored
	Reset      string        // of the ValueReply that the value was begun after
	Notify     bool          // publish the change on the key's ValueChannel
	Useful     bool          // for ReleaseValue: waiters with a ValueReader leave with the value
}

// WriteOutcome is what became of a ValueWrite.
type WriteOutcome int64

const (
	ValueStored  WriteOutcome = 1
	ValueNotHeld WriteOutcome = 0  // the token does not own the mutex
	ValueNewer   WriteOutcome = -1 // a later hold has written
	ValueDeleted WriteOutcome = -2 // the value was deleted since it was begun
)

// WriteValue stores a value beside the mutex that the lease holds, with the token and the fence
// of the lease. It repeats the request until Redis answers, ctx ends, or the lease does. It
// returns ErrLost if the lease has ended here or in Redis.
func (l *Lease) WriteValue(ctx context.Context, s ValueStore, w ValueWrite) (WriteOutcome, error) {
	l = l.canonical()
	l.queue.mu.Lock()
	if l.expire(time.Now()); l.state != leaseHeld {
		defer l.queue.mu.Unlock()
		return ValueNotHeld, l.wrap(l.err, nil)
	}
	w.Key, w.Token, w.Fence = l.queue.name.Key, l.claim.token, l.fence
	l.queue.mu.Unlock()
	ctx, stop := l.Context(ctx)
	defer stop()
	outcome, err := retry.Do(ctx, "write value", w.Key, true, func(ctx context.Context) (WriteOutcome, error) {
		return s.WriteValue(ctx, w)
	})
	if lost := l.Err(); err == nil && outcome == ValueNotHeld || err != nil && lost != nil {
		return ValueNotHeld, l.wrap(ErrLost, err)
	}
	return outcome, err
}

// ErrValueFound is the end of a request with a ValueReader that found a value.
var ErrValueFound = errors.New("baton: value found")

// A ValueReader makes the requests of a lease read the value beside the mutex. A request that
// finds a value of use acquires nothing, and ends the wait with ErrValueFound.
type ValueReader struct {
	// Overlap makes a value of use that was written after the first request, and Stale makes a
	// stale value of use while another holds the mutex. A fresh value always is.
	Overlap, Stale bool

	mu             sync.Mutex
	first          time.Time   // when the first request was executed, by the server's clock
	found, granted *ValueReply // by the requests that found a value, and that were granted the mutex
	fenceBase      int64       // of that grant
}

// Wants returns how a request names what is of use: see value_acquire.lua.
func (r *ValueReader) Wants() (since int64, stale bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Overlap && !r.first.IsZero() {
		since = r.first.UnixMicro()
	}
	return since, r.Stale
}

// Note notes what a request has read. fenceBase is that of the grant, or 0.
func (r *ValueReader) Note(reply ValueReply, fenceBase int64, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() {
		r.first = reply.Now
	}
	if fenceBase != 0 {
		r.granted, r.fenceBase = &reply, fenceBase
	} else if found {
		r.found = &reply
	}
}

// Found returns what a request with the outcome ErrValueFound has read.
func (r *ValueReader) Found() ValueReply {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.found
}

// Granted returns what the request has read that was granted the lease with this fence. It returns
// nil if the lease was handed over, also if an earlier request was granted the mutex too late: what
// that has read may have changed since.
func (r *ValueReader) Granted(fence int64) *ValueReply {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fence != r.fenceBase*FencesPerGrant { // the first lease of that grant has the first of its fences
		return nil
	}
	return r.granted
}

// Useful reports whether the value that was read is of use: see ValueReader.
func (r *ValueReader) Useful(reply ValueReply) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := reply.Value
	return v.FreshAt(reply.Now) || v != nil && r.Overlap && !r.first.IsZero() && v.WrittenAt.After(r.first)
}

// A lastWrite is the value that the release of a claim stores.
type lastWrite struct {
	store   ValueStore
	write   ValueWrite
	outcome WriteOutcome // guarded by the mutex of the queue
}

// ReleaseValue stores a value as WriteValue does, and releases the lease: in one request if the
// claim ends with the lease.
func (l *Lease) ReleaseValue(ctx context.Context, s ValueStore, w ValueWrite) (WriteOutcome, error) {
	l = l.canonical()
	l.queue.mu.Lock()
	now := time.Now()
	if l.expire(now); l.state != leaseHeld {
		defer l.queue.mu.Unlock()
		return ValueNotHeld, l.wrap(l.err, nil)
	}
	c := l.claim
	if l.queue.waiters.head != nil { // the claim goes on
		l.queue.mu.Unlock()
		w.Notify = false
		outcome, err := l.WriteValue(ctx, s, w)
		return outcome, errors.Join(err, l.Release())
	}
	w.Key, w.Token, w.Fence = l.queue.name.Key, c.token, l.fence
	last := &lastWrite{store: s, write: w}
	l.reduce(0)
	todo := l.queue.advanceAt(now)
	todo.last = last
	l.queue.mu.Unlock()
	err := l.releaseResult(true, l.queue.run(todo))
	retry.Repanic(err)
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return last.outcome, l.wrapRelease(err)
}
