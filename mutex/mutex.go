package mutex

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// DefaultTTL is the TTL of a Mutex made by New.
const DefaultTTL = 10 * time.Second

// A Mutex works like a [sync.Mutex] that processes share: all that are made for
// the same key exclude one another, wherever they run. Most callers want Lock
// and Unlock, or [Mutex.LockContext] if they care what happens when Redis does
// not answer. Three things differ from sync, because a network is in the way:
//
//   - A hold is a lease. It is renewed for as long as its process lives, and
//     ends within TTL of the process's death. If it cannot be renewed it is lost,
//     though the critical section still runs: a [Lease] tells of it, Lock cannot.
//   - Operations take a round trip to Redis, unless the lock passes between
//     goroutines of one process.
//   - It is fair: goroutines of a process get the lock in the order in which they
//     asked, and processes take turns: one lasts until all who waited there have had
//     it, once or for about as long as ten requests take, 1 to 20 ms.
//
// A Mutex is made by [New] and must not be copied after first use. It needs no
// Close: a lock that is neither held nor awaited costs nothing.
type Mutex struct {
	// TTL is how long Redis keeps the lock for a process that has died. It is cut
	// to whole milliseconds, and is at least 10 of them. Set it before first use.
	TTL time.Duration

	// MaxHold, if not 0, is for how long a hold is renewed, so that a forgotten
	// Unlock cannot keep the lock for days: it is lost within TTL thereafter. Set
	// it before first use.
	MaxHold time.Duration

	// Label is what [Mutex.Inspect] says of this process's holds, beside host and
	// process id: what it does, or for whom. It is for people; 100 bytes of it are
	// kept. Of several in a process that use one key, the first to ask counts. Set it
	// before first use.
	Label string

	// Trace, if not nil, is told what becomes of each request and each hold. Set it
	// before first use.
	Trace *Trace

	key    string
	keeper *lease.Keeper
	err    error // why there is no keeper

	// Full from the return of Lock to the call of Unlock. Should the lease be lost
	// meanwhile, others may get one, but the next Lock through this Mutex still
	// waits for that Unlock, which can then end no hold but its own.
	inside chan struct{}
	held   atomic.Pointer[Lease] // the lease of who is inside
}

// New returns a mutex for the key. The key itself becomes the lock: a string with
// an expiry, as SET NX PX makes one, so that whoever locks the same key in that
// way excludes and is excluded by this Mutex. Any key will do but the empty one
// and those that begin with "baton:{", which are the library's own; these, and a
// nil client, make the first operation fail.
func New(rdb redis.UniversalClient, key string) *Mutex {
	m := &Mutex{TTL: DefaultTTL, key: key, inside: make(chan struct{}, 1)}
	m.keeper, m.err = redisstore.Keeper(rdb)
	return m
}

// Lock locks m, waiting until it can. While Redis is away it waits for that too,
// with backoff. It panics on what waiting cannot cure: a TTL or a key that
// cannot be used, a key of another type, a user without the rights.
func (m *Mutex) Lock() {
	for {
		l, err := m.LockContext(context.Background())
		if err != nil {
			panic(err)
		}
		if m.enter(l) {
			return
		}
		// Who is inside has lost its lease and does not know it yet. To keep ours
		// meanwhile would keep other processes waiting for nothing.
		_ = l.Unlock()
		m.inside <- struct{}{}
		<-m.inside
	}
}

// enter goes inside with the lease, unless somebody is there.
func (m *Mutex) enter(l *Lease) bool {
	select {
	case m.inside <- struct{}{}:
		m.held.Store(l)
		return true
	default:
		return false
	}
}

// TryLock locks m if it is neither held nor awaited, and reports whether it did.
// It makes one attempt, which fails if Redis does not answer for as long as the
// client waits for it. It panics as Lock.
func (m *Mutex) TryLock() bool {
	l, err := m.TryLockContext(context.Background())
	switch {
	case err == nil && m.enter(l):
		return true
	case err == nil:
		_ = l.Unlock()
	case lease.IsPermanent(err):
		panic(err)
	}
	return false
}

// Unlock unlocks m. It panics if m is not locked by Lock or TryLock; if that hold
// has been lost it does nothing. As with sync, another goroutine than the one
// that locked m may unlock it. It waits for Redis as [Lease.Unlock] does, no
// longer than the lease would have lasted.
func (m *Mutex) Unlock() {
	l := m.held.Swap(nil)
	if l == nil {
		panic(fmt.Sprintf("baton: unlock of unlocked mutex %q", m.key))
	}
	<-m.inside // first: who is handed the lease must not find it locked
	_ = l.Unlock()
}

// LockContext locks m and returns the lease. It waits until ctx ends, also for
// Redis to come back, and returns within milliseconds of that; the error is then
// ctx's and names what Redis last failed with. ctx does not bound the hold, and
// one that has ended gets no lock, though it be free. What waiting cannot cure
// is returned at once, with the key and the operation.
func (m *Mutex) LockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock", false)
}

// TryLockContext is like LockContext but does not wait for the lock: it returns
// ErrLocked if that is held or awaited. It makes one attempt, so that it returns
// an error if Redis does not answer.
func (m *Mutex) TryLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "try to lock", true)
}

func (m *Mutex) acquire(ctx context.Context, op string, try bool) (*Lease, error) {
	if err := m.usable(op); err != nil {
		return nil, err
	}
	l := new(Lease)
	if err := m.request(ctx, l, try); err != nil {
		return nil, err
	}
	return l.await(ctx)
}

func (m *Mutex) request(ctx context.Context, l *Lease, try bool) error {
	p := m.params(try)
	return l.hold.Request(ctx, m.keeper, &p)
}

// LockChan is like LockContext but returns at once, with a channel that receives
// the result. It is made for select:
//
//   - The channel yields exactly one Result and is never closed.
//   - If ctx ends before the Result is received, the lock is given back at once,
//     or not taken at all, and the Result is ctx's error. So to stop waiting,
//     end ctx; leaving the select is not enough. A grant that already lies in
//     the channel takes a moment to be given back: who receives after ctx has
//     ended may still be handed a lease, and must unlock it like any other.
//   - A lock that is granted but not received is not renewed. After one TTL it
//     is given back and the Result is ErrLost, so that even a channel that is
//     forgotten under a ctx that never ends holds the lock no longer.
//
// It costs no goroutine to wait. When the Result of a ctx that has ended is
// there, nothing is left in Redis for which others would wait: a program that exits
// should receive it first. There are two exceptions. If Redis does not answer, the
// Result comes after 5 milliseconds. If thousands of locks are given up at once, it
// comes after a tenth of a second at the latest, and what is left then is given back as
// fast as Redis answers.
func (m *Mutex) LockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.keeper, m.usable("lock"), m.params(false))
}

func lockChan(ctx context.Context, k *lease.Keeper, unusable error, p lease.Params) <-chan Result {
	l := new(Lease)
	box := lease.NewBox(asked{l})
	if unusable != nil {
		box.Put(unusable)
	} else {
		l.hold.AcquireChan(ctx, k, &p, box)
	}
	return box.C()
}

// Do runs f while it holds the lock. The ctx of f is cancelled with the cause
// ErrLost if the lock is lost. Do returns what f returned, joined with the error
// of Unlock if that has one: ErrLost means that f was not alone until its end.
// If the lock cannot be had, f is not called. A panic of f unlocks. A nil f panics
// at once.
func (m *Mutex) Do(ctx context.Context, f func(context.Context) error) error {
	return do(ctx, m.LockContext, f)
}

func do(ctx context.Context, lock func(context.Context) (*Lease, error), f func(context.Context) error) (err error) {
	if f == nil { // before anything is locked for it
		panic("baton: Do of a nil function")
	}
	l, err := lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	inner, stop := l.Context(ctx)
	defer stop()
	return f(inner)
}

func (m *Mutex) params(try bool) lease.Params {
	return lease.Params{
		Kind: lease.Mutex, Key: m.key, Label: m.Label, TTL: m.TTL, MaxHold: m.MaxHold, Weight: 1, Try: try, Trace: m.Trace,
	}
}

// usable returns why m cannot be used, nil if it can.
func (m *Mutex) usable(op string) error {
	switch {
	case m.keeper != nil:
		return nil
	case m.err != nil:
		return lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, m.key, m.err))
	}
	return lease.Permanent(fmt.Errorf("baton: %s: the Mutex was not made by New", op))
}
