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
)

// A RWMutex works like a [sync.RWMutex] that processes share: any number of
// readers hold it, or one writer. As there, a writer that waits keeps new
// readers out, so that it gets its turn, and a goroutine must not lock it for
// reading twice, for a writer may come between the two and each would wait for
// the other. There is no upgrade of a reader to a writer.
//
// It differs from sync's as [Mutex] does, and in this:
//
//   - Processes get it in the order in which they asked; readers that are next to
//     one another in line get in together.
//   - The readers of a process are one hold in Redis. The second costs no request,
//     and the last one out gives it back. When a writer begins to wait elsewhere, a
//     message tells such a process to let no more of them in. It listens for that
//     from the first reader on that joins others after more than a turn, 1 to 20 ms;
//     that one may still get in past a writer that waits. Should the message get lost,
//     the next renewal tells, within a third of TTL.
//
// A RWMutex is made by [NewRW] and must not be copied after first use. It needs
// no Close. Its key cannot be that of a Mutex: it is a hash in Redis.
type RWMutex struct {
	// TTL and MaxHold are as those of a Mutex. Set them before first use. Readers
	// of a process that hold it together have the longest of their TTLs. As RUnlock
	// does not say whose hold it ends, MaxHold counts from the last RLock if one of
	// several was forgotten.
	TTL, MaxHold time.Duration

	// Label and Trace are as those of a Mutex.
	Label string
	Trace *Trace

	key    string
	keeper *lease.Keeper
	err    error // why there is no keeper

	// Who is inside by Lock or RLock, whether its lease is still good or not. Should
	// it be lost, others get one, but whoever it excludes here still waits for its
	// Unlock.
	mu      sync.Mutex
	writer  *Lease
	readers []*Lease      // the oldest first: those that have been lost
	left    chan struct{} // closed when somebody leaves; nil if nobody waits for that
}

// NewRW returns a reader/writer lock for the key, with the default TTL. Any key
// will do but the empty one and those that begin with "baton:{"; these, and a
// nil client, make the first operation fail.
func NewRW(rdb redis.UniversalClient, key string) *RWMutex {
	m := &RWMutex{TTL: DefaultTTL, key: key}
	m.keeper, m.err = redisstore.Keeper(rdb)
	return m
}

// Lock locks m for writing, waiting until it can. Like [Mutex.Lock] it waits for
// Redis to come back, too, and panics on what waiting cannot cure.
func (m *RWMutex) Lock() { m.lock(m.LockContext, true) }

// RLock locks m for reading, waiting until it can, as Lock.
func (m *RWMutex) RLock() { m.lock(m.RLockContext, false) }

func (m *RWMutex) lock(acquire func(context.Context) (*Lease, error), write bool) {
	for {
		l, err := acquire(context.Background())
		if err != nil {
			panic(err)
		}
		left := m.enter(l, write)
		if left == nil {
			return
		}
		// Who is inside has lost its lease and does not know it yet. To keep ours
		// meanwhile would keep other processes waiting for nothing.
		_ = l.Unlock()
		<-left
	}
}

// enter goes inside with the lease. If somebody is there who excludes it, it
// returns what is closed when one has left.
func (m *RWMutex) enter(l *Lease, write bool) (left <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.writer != nil || write && len(m.readers) > 0:
		if m.left == nil {
			m.left = make(chan struct{})
		}
		return m.left
	case write:
		m.writer = l
	default:
		m.readers = append(m.readers, l)
	}
	return nil
}

// TryLock locks m for writing if it is neither held nor awaited, and reports
// whether it did, as [Mutex.TryLock].
func (m *RWMutex) TryLock() bool { return m.try(m.TryLockContext, true) }

// TryRLock locks m for reading if no writer holds or awaits it, and reports
// whether it did. It fails too while somebody else of this process is waiting to
// be let in, though it be for reading.
func (m *RWMutex) TryRLock() bool { return m.try(m.TryRLockContext, false) }

func (m *RWMutex) try(acquire func(context.Context) (*Lease, error), write bool) bool {
	l, err := acquire(context.Background())
	switch {
	case err == nil && m.enter(l, write) == nil:
		return true
	case err == nil:
		_ = l.Unlock()
	case lease.IsPermanent(err):
		panic(err)
	}
	return false
}

// Unlock unlocks m for writing. It panics if m is not locked by Lock or TryLock; if
// that hold has been lost it does nothing.
func (m *RWMutex) Unlock() {
	m.mu.Lock()
	l := m.writer
	m.writer = nil
	m.leave()
	m.mu.Unlock()
	if l == nil {
		panic(fmt.Sprintf("baton: Unlock of unlocked RWMutex %q", m.key))
	}
	_ = l.Unlock()
}

// RUnlock undoes one RLock or TryRLock, whoever made it. It panics if there is
// none. Of several it ends the oldest: if one has been lost, it is that.
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
	m.leave()
	m.mu.Unlock()
	_ = l.Unlock()
}

// leave lets those look again who found somebody inside.
func (m *RWMutex) leave() {
	if m.left != nil {
		close(m.left)
		m.left = nil
	}
}

// RLocker returns a [sync.Locker] whose Lock and Unlock are RLock and RUnlock.
func (m *RWMutex) RLocker() sync.Locker { return (*rlocker)(m) }

type rlocker RWMutex

func (r *rlocker) Lock()   { (*RWMutex)(r).RLock() }
func (r *rlocker) Unlock() { (*RWMutex)(r).RUnlock() }

// LockContext locks m for writing and returns the lease, as [Mutex.LockContext].
func (m *RWMutex) LockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock", false, false)
}

// RLockContext locks m for reading and returns the lease, as LockContext.
//
// The fence of a reader is above that of every earlier writer and below that of
// every later one. Readers that hold m together may have the same.
func (m *RWMutex) RLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "lock for reading", true, false)
}

// TryLockContext is like LockContext but does not wait for the lock: it returns
// ErrLocked if that is held or awaited.
func (m *RWMutex) TryLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "try to lock", false, true)
}

// TryRLockContext is like RLockContext but does not wait for the lock: it returns
// ErrLocked if a writer holds or awaits it, or somebody of this process does.
func (m *RWMutex) TryRLockContext(ctx context.Context) (*Lease, error) {
	return m.acquire(ctx, "try to lock for reading", true, true)
}

// LockChan is like LockContext but returns at once, with a channel that receives
// the result, as [Mutex.LockChan].
func (m *RWMutex) LockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.keeper, m.usable("lock"), m.params(false, false))
}

// RLockChan is like RLockContext but returns at once, with a channel that
// receives the result, as [Mutex.LockChan].
func (m *RWMutex) RLockChan(ctx context.Context) <-chan Result {
	return lockChan(ctx, m.keeper, m.usable("lock for reading"), m.params(true, false))
}

// Do runs f while it holds the lock for writing, as [Mutex.Do].
func (m *RWMutex) Do(ctx context.Context, f func(context.Context) error) error {
	return do(ctx, m.LockContext, f)
}

// RDo runs f while it holds the lock for reading, as [Mutex.Do].
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

func (m *RWMutex) request(ctx context.Context, l *Lease, read, try bool) error {
	p := m.params(read, try)
	return l.hold.Request(ctx, m.keeper, &p)
}

func (m *RWMutex) params(read, try bool) lease.Params {
	p := lease.Params{
		Kind: lease.RWMutex, Key: m.key, Label: m.Label, TTL: m.TTL, MaxHold: m.MaxHold, Weight: lease.Writer, Size: lease.Writer,
		Try: try, Trace: m.Trace,
	}
	if read {
		p.Weight, p.Shared = 1, true
	}
	return p
}

// usable returns why m cannot be used, nil if it can.
func (m *RWMutex) usable(op string) error {
	switch {
	case m.keeper != nil:
		return nil
	case m.err != nil:
		return lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, m.key, m.err))
	}
	return lease.Permanent(errors.New("baton: " + op + ": the RWMutex was not made by NewRW"))
}
