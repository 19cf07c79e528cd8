package mutex

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A RWMutex works like a [sync.RWMutex] that processes share. It can be held by any
// number of readers or by a single writer. As in sync, a waiting writer keeps new
// readers out. This prohibits recursive read-locking: a writer may begin to wait in
// between, and the reader and the writer would wait for each other. A reader cannot be
// upgraded to a writer.
//
// It differs from sync.RWMutex as [Mutex] differs from sync.Mutex, and in two ways
// more:
//
//   - Processes get the lock in the order in which they asked. Readers that are next
//     to one another in the queue get it together.
//   - All readers of a process are one hold in Redis. Further readers join it without
//     a request, and the last one releases it. When a writer begins to wait, a
//     message tells the reading processes to admit no new readers. A process subscribes
//     to these messages when the first reader joins after its time slice (1–20 ms).
//     That reader can overtake a waiting writer. If the message is lost, the next
//     renewal reports the writer, within a third of TTL.
//
// In the terminology of [the Go memory model], within a process the n'th call to
// Unlock “synchronizes before” the m'th call to Lock returns, for any n < m, just as
// for Mutex. For any call to RLock, there exists an n such that the n'th call to
// Unlock “synchronizes before” that call returns, and the corresponding call to
// RUnlock “synchronizes before” the n+1'th call to Lock returns.
//
// A RWMutex must be created by [NewRW] and must not be copied after first use. There
// is nothing to close. Its key is a hash in Redis, so it cannot be the key of a Mutex.
//
// [the Go memory model]: https://go.dev/ref/mem
type RWMutex struct {
	// TTL and MaxHold are as for a Mutex. Set them before first use. Concurrent
	// readers of a process have the longest of their TTLs. RUnlock cannot tell which
	// reader it ends. So after a forgotten RUnlock, MaxHold counts from the last RLock.
	TTL, MaxHold time.Duration

	// Linger is as for a Mutex, for writers. Readers of a process join one another
	// without a request anyway; the last one releases the lock.
	Linger time.Duration

	// Label, NotifyContention and Trace are as for a Mutex.
	Label            string
	NotifyContention bool
	Trace            *Trace

	// Replicas and ReplicaTimeout are as for a [Mutex]. A reader that joins readers of
	// its process needs no confirmation, unless its Replicas asks for more than theirs.
	Replicas       int
	ReplicaTimeout time.Duration

	key     string
	manager *lease.Manager
	err     error // why manager is nil

	// The leases of Lock and RLock, whether lost or not. If one is lost, other
	// processes may get the lock, but a goroutine that it excludes here still waits
	// for its Unlock.
	mu      sync.Mutex
	writer  *Lease
	readers []*Lease      // the oldest first: these are the ones that may be lost
	exited  chan struct{} // closed when one of them unlocks; nil if nobody waits for that
}

// NewRW returns a reader/writer lock for key, with the default TTL. The key must not
// be empty and must not start with "baton:{". An invalid key or a nil client makes
// the first operation fail.
func NewRW(rdb redis.UniversalClient, key string) *RWMutex {
	m := &RWMutex{TTL: DefaultTTL, key: key}
	m.manager, m.err = redisstore.ManagerFor(rdb)
	return m
}

// Lock locks m for writing, blocking until the lock is available. Like [Mutex.Lock]
// it retries while Redis is unreachable, and panics on permanent errors.
func (m *RWMutex) Lock() { m.lock(m.LockContext, true) }

// RLock locks m for reading, blocking until the lock is available. Like [Mutex.Lock]
// it retries while Redis is unreachable, and panics on permanent errors.
func (m *RWMutex) RLock() { m.lock(m.RLockContext, false) }

func (m *RWMutex) lock(acquire func(context.Context) (*Lease, error), write bool) {
	for {
		l, err := acquire(context.Background())
		if err != nil {
			panic(err)
		}
		exited := m.enter(l, write)
		if exited == nil {
			return
		}
		// The goroutine inside has lost its lease and has not noticed. Release ours,
		// so that other processes do not wait for nothing.
		_ = l.Unlock()
		<-exited
	}
}

// enter makes l one of the leases inside. If another one excludes it, enter returns a
// channel that is closed when one of them unlocks.
func (m *RWMutex) enter(l *Lease, write bool) (exited <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.writer != nil || write && len(m.readers) > 0:
		if m.exited == nil {
			m.exited = make(chan struct{})
		}
		return m.exited
	case write:
		m.writer = l
	default:
		m.readers = append(m.readers, l)
	}
	return nil
}

// TryLock tries to lock m for writing and reports whether it succeeded. It fails if
// the lock is held or has waiters. See [Mutex.TryLock].
func (m *RWMutex) TryLock() bool { return m.try(m.TryLockContext, true) }

// TryRLock tries to lock m for reading and reports whether it succeeded. It fails if a writer
// holds the lock or waits for it. It also fails while another goroutine of this process
// waits, even for reading. See [Mutex.TryLock].
func (m *RWMutex) TryRLock() bool { return m.try(m.TryRLockContext, false) }

func (m *RWMutex) try(acquire func(context.Context) (*Lease, error), write bool) bool {
	l, err := acquire(context.Background())
	switch {
	case err == nil && m.enter(l, write) == nil:
		return true
	case err == nil:
		_ = l.Unlock()
	case retry.IsPermanent(err):
		panic(err)
	}
	return false
}

// Unlock unlocks m for writing. It panics if m is not locked for writing by Lock or TryLock.
// If the lock was lost, Unlock does nothing. It waits for Redis as [Mutex.Unlock] does.
func (m *RWMutex) Unlock() {
	m.mu.Lock()
	l := m.writer
	m.writer = nil
	m.notifyExit()
	m.mu.Unlock()
	if l == nil {
		panic(fmt.Sprintf("baton: Unlock of unlocked RWMutex %q", m.key))
	}
	_ = l.Unlock()
}

// RUnlock undoes one call of RLock or TryRLock, by any goroutine. It panics if m is not
// locked for reading. If there are several holds, it ends a lost one, or else the oldest. The
// last one waits for Redis as [Mutex.Unlock] does.
func (m *RWMutex) RUnlock() {
	m.mu.Lock()
	if len(m.readers) == 0 {
		m.mu.Unlock()
		panic(fmt.Sprintf("baton: RUnlock of unlocked RWMutex %q", m.key))
	}
	l := m.readers[0]
	m.readers[0] = nil
	if m.readers = m.readers[1:]; len(m.readers) == 0 {
		m.readers = nil
	}
	m.notifyExit()
	m.mu.Unlock()
	_ = l.Unlock()
}

// notifyExit wakes the goroutines that found the lock occupied.
func (m *RWMutex) notifyExit() {
	if m.exited != nil {
		close(m.exited)
		m.exited = nil
	}
}

// RLocker returns a [sync.Locker] whose Lock and Unlock call RLock and RUnlock.
func (m *RWMutex) RLocker() sync.Locker { return (*rlocker)(m) }

type rlocker RWMutex

func (r *rlocker) Lock()   { (*RWMutex)(r).RLock() }
func (r *rlocker) Unlock() { (*RWMutex)(r).RUnlock() }

// LockContext locks m for writing and returns the lease. See [Mutex.LockContext].
func (m *RWMutex) LockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock", false, false)
}

// RLockContext locks m for reading and returns the lease. See [Mutex.LockContext].
//
// A reader's fencing token is greater than that of every earlier writer and less than
// that of every later one. Readers that hold the lock together may have equal tokens.
func (m *RWMutex) RLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock for reading", true, false)
}

// TryLockContext is like LockContext but does not wait. It returns ErrLocked if the lock is
// held or has waiters. See [Mutex.TryLockContext].
func (m *RWMutex) TryLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "try to lock", false, true)
}

// TryRLockContext is like RLockContext but does not wait. It returns ErrLocked if a writer
// holds the lock or waits for it, or if another goroutine of this process waits. See
// [Mutex.TryLockContext].
func (m *RWMutex) TryRLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "try to lock for reading", true, true)
}

// LockChan is like LockContext but returns at once, with a channel that receives the
// result. See [Mutex.LockChan].
func (m *RWMutex) LockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.manager, m.usable("lock"), m.params(false, false))
}

// RLockChan is like RLockContext but returns at once, with a channel that receives
// the result. See [Mutex.LockChan].
func (m *RWMutex) RLockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.manager, m.usable("lock for reading"), m.params(true, false))
}

// Do runs f while holding the lock for writing. See [Mutex.Do].
func (m *RWMutex) Do(ctx context.Context, f func(context.Context) error) error {
	return do(ctx, m.LockContext, f)
}

// RDo runs f while holding the lock for reading. See [Mutex.Do].
func (m *RWMutex) RDo(ctx context.Context, f func(context.Context) error) error {
	return do(ctx, m.RLockContext, f)
}

func (m *RWMutex) acquire(ctx context.Context, op string, read, try bool) (*Lease, error) {
	if err := m.usable(op); err != nil {
		return nil, err
	}
	l := new(Lease)
	if err := m.request(ctx, l, read, try); err != nil {
		return nil, err
	}
	return l.await(ctx)
}

// request is apart from await so that Params leaves the stack before the wait.
func (m *RWMutex) request(ctx context.Context, l *Lease, read, try bool) error {
	p := m.params(read, try)
	return l.single.Request(ctx, m.manager, &p)
}

func (m *RWMutex) params(read, try bool) lease.Params {
	p := lease.Params{
		Kind: lease.RWMutex, Key: m.key, Label: m.Label, TTL: m.TTL, MaxHold: m.MaxHold, Weight: lease.ExclusiveWeight, Size: lease.ExclusiveWeight,
		Try: try, Trace: m.Trace.hooks(),
		Replicas: m.Replicas, ReplicaTimeout: m.ReplicaTimeout, NotifyContention: m.NotifyContention, Linger: m.Linger,
	}
	if read {
		p.Weight, p.Shared = 1, true
	}
	return p
}

// usable returns why m cannot be used, or nil.
func (m *RWMutex) usable(op string) error {
	switch {
	case m.manager != nil:
		return nil
	case m.err != nil:
		return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, m.key, m.err))
	}
	return retry.Permanent(errors.New("baton: " + op + ": the RWMutex was not made by NewRW"))
}
