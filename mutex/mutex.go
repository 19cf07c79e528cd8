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
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// DefaultTTL is the TTL that the New functions set.
const DefaultTTL = 10 * time.Second

// A Mutex works like a [sync.Mutex] that processes share: all Mutexes with the same
// key exclude one another, wherever they run. Most callers should use Lock and
// Unlock, or [Mutex.LockContext] to learn that a lock was lost. It differs from
// sync.Mutex in three ways, because there is a network in between:
//
//   - A held lock is a lease. Its process renews it in the background, and it
//     expires within TTL after the process dies. It can be lost while the critical
//     section still runs. A [Lease] reports that; Lock cannot.
//   - An operation takes one round trip to Redis, except when the lock passes
//     between goroutines of one process.
//   - It is fair. Goroutines of a process get the lock in the order of their calls.
//     Processes take turns: each keeps the lock for a time slice, in which its
//     waiting goroutines get it one after another. A slice lasts about ten round
//     trips, between 1 and 20 ms.
//
// In the terminology of [the Go memory model], within a process the n'th call to
// Unlock “synchronizes before” the m'th call to Lock returns, for any n < m. A
// successful TryLock, and receiving a Lease, are equivalent to Lock. A lease that
// is lost establishes no such relation by itself.
//
// A Mutex must be created by [New] and must not be copied after first use. There is
// nothing to close: a lock that is neither held nor awaited uses no resources.
//
// [the Go memory model]: https://go.dev/ref/mem
type Mutex struct {
	// TTL is how long Redis keeps the lock after its process has died. New sets it to 10 s.
	// It is truncated to milliseconds and must be at least 10 ms. Set it before first use.
	TTL time.Duration

	// MaxHold, if positive, limits how long a hold is renewed, so that a forgotten
	// Unlock does not keep the lock for days. The hold is lost at most one TTL after
	// MaxHold. Set it before first use.
	MaxHold time.Duration

	// Linger, if positive, is how long the process keeps the lock after Unlock when it
	// locks the same key again and again. Lock and Unlock then need no request, and
	// fencing tokens still grow. When another process begins to wait, a message ends
	// the linger: that process gets the lock after two requests and two messages. Tens
	// of milliseconds suffice. Linger is at most a tenth of TTL and at most 30 s.
	//
	// Set it if mostly the same process wants the same key: a worker that handles the
	// events of one customer, a batch, a loop. Lingering begins when the process locks the
	// key again within Linger. If other processes keep ending it, it pauses, for longer
	// each time. While others wait, a process keeps the lock until its time slice of 1 to
	// 20 ms ends, if it locks again at once. If not, it hands over. Linger has a price:
	//
	//   - If the process dies, others wait up to TTL for a lock that was unlocked. They
	//     also do so if the program exits within Linger after its last Unlock.
	//   - Lockers that are not of this library see the lock as held for up to Linger.
	//   - Unlock does not contact Redis, so it cannot report that Redis has lost the key.
	//   - TryLock of another process takes two round trips more.
	//
	// A process that cannot receive messages does not linger: Redis may have no pub/sub
	// for this user, or the subscription may be broken. Set it before first use.
	Linger time.Duration

	// Label is shown by [Mutex.Inspect] next to host and PID, for people. It is
	// truncated to 100 bytes. If several Mutexes of a process use one key, the
	// label of the first waiter is used. Set it before first use.
	Label string

	// Replicas is how many replicas must confirm each grant and each renewal: 0 for none,
	// or AllReplicas. An unconfirmed renewal does not extend the hold. A failover then
	// forgets fewer grants, but may still forget some: use [Lease.Fence] with it. See the
	// package documentation. Set it before first use.
	Replicas int

	// ReplicaTimeout is how long a grant waits for replicas; 0 means 1 s. It is at most 1 s,
	// at most a third of TTL, and at most half of the client's ReadTimeout. If too few
	// confirm in time, the lock is released, and the wait goes on; a try returns
	// ErrUnconfirmed. Set it before first use.
	ReplicaTimeout time.Duration

	// If NotifyContention is set, [Lease.Contended] is closed at once: the first process
	// that begins to wait for the lock sends a message to the holder. Otherwise the next
	// renewal closes Contended, within a third of TTL. If several Mutexes of a process use
	// one key, the field of the first waiter is used. Set it before first use.
	NotifyContention bool

	// Trace, if not nil, receives the events of each request and each hold. Set it
	// before first use.
	Trace *Trace

	key     string
	manager *lease.Manager
	err     error // why manager is nil

	// Full from the return of Lock to the call of Unlock. If the lease is lost in
	// between, the next Lock through this Mutex still waits for that Unlock. That
	// Unlock can only end its own hold.
	entered chan struct{}
	held    atomic.Pointer[Lease] // the lease of the goroutine that holds inside
}

// New returns a mutex for key, with the default TTL. The key itself is the lock: a
// string with an expiry, as SET NX PX creates it. A Mutex therefore excludes other
// programs that lock the same key with SET NX PX. The key must not be empty and
// must not start with "baton:{". An invalid key or a nil client makes the first
// operation fail.
func New(rdb redis.UniversalClient, key string) *Mutex {
	m := &Mutex{TTL: DefaultTTL, key: key, entered: make(chan struct{}, 1)}
	m.manager, m.err = redisstore.ManagerFor(rdb)
	return m
}

// Lock locks m, blocking until the lock is available. While Redis is unreachable it
// retries with backoff. It panics on permanent errors: an invalid key or TTL, a key
// of another type, or missing ACL permissions.
func (m *Mutex) Lock() {
	for {
		l, err := m.LockContext(context.Background())
		if err != nil {
			panic(err)
		}
		if m.enter(l) {
			return
		}
		// The goroutine inside has lost its lease and has not noticed. Release ours,
		// so that other processes do not wait for nothing.
		_ = l.Unlock()
		m.entered <- struct{}{}
		<-m.entered
	}
}

// enter makes l the lease of this Mutex, unless another goroutine is inside.
func (m *Mutex) enter(l *Lease) bool {
	select {
	case m.entered <- struct{}{}:
		m.held.Store(l)
		return true
	default:
		return false
	}
}

// TryLock tries to lock m and reports whether it succeeded. It fails if the lock is
// held or has waiters. It makes a single attempt, so it also fails if Redis does
// not answer within the client's timeouts. It panics on permanent errors, as Lock
// does.
func (m *Mutex) TryLock() bool {
	l, err := m.TryLockContext(context.Background())
	switch {
	case err == nil && m.enter(l):
		return true
	case err == nil:
		_ = l.Unlock()
	case retry.IsPermanent(err):
		panic(err)
	}
	return false
}

// Unlock unlocks m. It panics if m is not locked by Lock or TryLock. If the lock was
// lost, Unlock does nothing. As with sync, another goroutine may unlock m. Unlock
// waits for Redis as [Lease.Unlock] does, at most until the lease would have expired.
func (m *Mutex) Unlock() {
	l := m.held.Swap(nil)
	if l == nil {
		panic(fmt.Sprintf("baton: unlock of unlocked mutex %q", m.key))
	}
	<-m.entered // first: the next holder must find it empty
	_ = l.Unlock()
}

// LockContext locks m and returns the lease. It blocks until the lock is available
// or ctx is done, and then returns within milliseconds, even if Redis does not
// answer. While Redis is unreachable it retries with backoff; the error then wraps
// both ctx's error and the last Redis error. Permanent errors are returned at once.
//
// ctx bounds the wait, not the hold. If ctx is already done, LockContext fails even
// if the lock is free.
func (m *Mutex) LockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock", false)
}

// TryLockContext is like LockContext but does not wait. It returns ErrLocked if the lock is
// held or has waiters. It makes a single attempt. It returns an error if Redis does not
// answer before ctx is done, or within the client's timeouts. If the lock is granted later,
// it is released again.
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

// request is apart from await so that Params leaves the stack before the wait.
func (m *Mutex) request(ctx context.Context, l *Lease, try bool) error {
	p := m.params(try)
	return l.single.Request(ctx, m.manager, &p)
}

// LockChan is like LockContext but returns at once, with a channel that receives the
// result. It is made for select:
//
//   - The channel receives exactly one Result and is never closed.
//   - If ctx is done before the Result is received, the lock is released or never
//     taken, and the Result holds ctx's error. To stop waiting, cancel ctx; leaving
//     the select is not enough. The release takes a moment: a late receive may
//     still get a lease, and must unlock it like any other.
//   - A lock that is granted but not received is not renewed. After one TTL it is
//     released and the Result is ErrLost. So a forgotten channel does not keep the lock.
//
// Waiting uses no goroutine.
//
// A program that is about to exit should cancel ctx and receive the Result first. Then no
// queue entry is left in Redis for others to wait on, with two exceptions. First, if Redis
// confirms nothing for 5 milliseconds, the Result comes then. Second, if thousands of locks
// are given up at once, the Result comes after a second at the latest. In both cases the
// release continues in the background. It stops if the program exits. An entry that is
// left expires after 3.6 seconds. If it is first in the queue before that, the lock is handed
// to it, and other waiters get the lock at most 4.8 seconds later.
func (m *Mutex) LockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.manager, m.usable("lock"), m.params(false))
}

func lockChan(ctx context.Context, m *lease.Manager, unusable error, p lease.Params) <-chan Result {
	l := new(Lease)
	ch := result.NewChan(leaseBuilder{l})
	if unusable != nil {
		ch.Send(unusable)
	} else {
		l.single.AcquireChan(ctx, m, &p, ch)
	}
	return ch.C()
}

// Do runs f while holding the lock. The ctx passed to f is canceled with the cause
// ErrLost if the lock is lost. Do returns f's error, joined with Unlock's error if
// there is one. ErrLost means that another process may have held the lock before f
// returned. If the lock cannot be acquired, f is not called. If f panics, the lock is
// released. A nil f panics at once.
func (m *Mutex) Do(ctx context.Context, f func(context.Context) error) error {
	return do(ctx, m.LockContext, f)
}

func do(ctx context.Context, lock func(context.Context) (*Lease, error), f func(context.Context) error) (err error) {
	if f == nil { // before locking
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
		Kind: lease.Mutex, Key: m.key, Label: m.Label, TTL: m.TTL, MaxHold: m.MaxHold, Weight: 1, Try: try, Trace: m.Trace.hooks(),
		Replicas: m.Replicas, ReplicaTimeout: m.ReplicaTimeout,
		NotifyContention: m.NotifyContention, Linger: m.Linger,
	}
}

// usable returns why m cannot be used, or nil.
func (m *Mutex) usable(op string) error {
	switch {
	case m.manager != nil:
		return nil
	case m.err != nil:
		return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, m.key, m.err))
	}
	return retry.Permanent(fmt.Errorf("baton: %s: the Mutex was not made by New", op))
}
