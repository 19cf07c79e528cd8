package semaphore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// DefaultTTL is the TTL of a Weighted created by NewWeighted.
const DefaultTTL = 10 * time.Second

// A Weighted works like the type of that name in golang.org/x/sync/semaphore, across
// processes: all Weighteds with the same key share its permits. Most callers should
// use Acquire and Release, or [Weighted.AcquireLease] to learn that permits were lost.
// It differs in these ways, because there is a network in between:
//
//   - Permits are leased. Their process renews them in the background, and they
//     return within TTL after the process dies. They can be lost while the work
//     still runs. A [Lease] reports that; Acquire cannot.
//   - It is fair between processes. Requests are served in the order in which Redis
//     received them, and a large request is not overtaken by smaller ones. Within a
//     process, permits pass from goroutine to goroutine for a time slice of about
//     ten round trips, between 1 and 20 ms.
//   - The size is stored in Redis. A process that passes another size gets
//     ErrSizeMismatch. [Weighted.Resize] changes the size.
//   - A weight of 0 needs no permits and no request. It succeeds at once, even if
//     others wait.
//   - The size is at most 2^52, because Redis computes with floating-point numbers. In
//     x/sync it is at most [math.MaxInt64].
//   - Acquire also returns permanent errors. TryAcquire panics on them.
//
// Within a process, a call to Release “synchronizes before” the return of any Acquire
// that it unblocks, in the terminology of [the Go memory model].
//
// A Weighted must be created by [NewWeighted] and must not be copied after first use.
// There is nothing to close.
//
// [the Go memory model]: https://go.dev/ref/mem
type Weighted struct {
	// TTL is how long Redis keeps the permits after their process has died. NewWeighted sets
	// it to 10 s. It is truncated to milliseconds and must be at least 10 ms. All permits of
	// a process on one key have the longest of its TTLs. Set it before first use.
	TTL time.Duration

	// MaxHold, if positive, limits how long a hold is renewed, so that a forgotten
	// Release does not keep its permits for days. The hold is lost at most one TTL after
	// MaxHold. Set it before first use.
	MaxHold time.Duration

	// Linger, if positive, is how long the process keeps the permits of its last Release
	// when it acquires permits again and again. Acquiring the same number of permits then
	// needs no request. When another process begins to wait, a message ends the linger. Tens
	// of milliseconds suffice. Linger is at most a tenth of TTL and at most 30 s. Lingering
	// begins when the process acquires permits again within Linger. If other processes keep
	// ending it, it pauses, for longer each time. See the field Linger of mutex.Mutex for
	// its price. Set it before first use.
	Linger time.Duration

	// Label is shown by [Weighted.Inspect] next to host and PID, for people. It is
	// truncated to 100 bytes. If several Weighteds of a process use one key, the
	// label of the first waiter is used. Set it before first use.
	Label string

	// Replicas is how many replicas must confirm each grant and each renewal: 0 for none,
	// or AllReplicas. An unconfirmed renewal does not extend the hold. A failover then
	// forgets fewer grants, but may still forget some. See the package documentation of
	// mutex. Set it before first use.
	Replicas int

	// ReplicaTimeout is how long a grant waits for replicas; 0 means 1 s. It is at most 1 s,
	// at most a third of TTL, and at most half of the client's ReadTimeout. If too few
	// confirm in time, the permits are released, and the wait goes on; a try returns
	// ErrUnconfirmed. Set it before first use.
	ReplicaTimeout time.Duration

	// If NotifyContention is set, [Lease.Contended] is closed at once: the first process
	// that begins to wait for permits sends a message to the holders. Otherwise the next
	// renewal closes Contended, within a third of TTL. If several Weighteds of a process
	// use one key, the field of the first waiter is used. Set it before first use.
	NotifyContention bool

	// Trace, if not nil, receives the events of each request and each hold. Set it
	// before first use.
	Trace *Trace

	key     string
	size    int64
	manager *lease.Manager
	store   *redisstore.Store
	err     error // why manager is nil

	tooLarge atomic.Int64 // calls of Acquire for more than the size
	// The leases of Acquire and TryAcquire, whether lost or not. If one is lost,
	// other processes may get its permits, but here it counts until its Release.
	mu      sync.Mutex
	entered int64
	leases  []heldPermits // the oldest first: these are the ones that may be lost
	intact  lease.Losses  // up to this count, none of them has been lost
	exited  chan struct{} // closed by Release; nil if nobody waits for that
}

type heldPermits struct {
	lease *Lease
	n     int64
}

// NewWeighted returns a semaphore of n permits for key, with the default TTL. The
// first use of the key stores the size in Redis. Redis forgets it when the key has not
// been used for 65 minutes. To deploy another size, call [Weighted.Resize]. NewWeighted
// panics if n is negative. n must be at most 2^52. The key must not be empty and must not
// start with "baton:{". A size that is too large, an invalid key or a nil client makes the
// first operation fail.
func NewWeighted(rdb redis.UniversalClient, key string, n int64) *Weighted {
	if n < 0 {
		panic(fmt.Sprintf("baton: semaphore %q: negative size %d", key, n))
	}
	s := &Weighted{TTL: DefaultTTL, key: key, size: n}
	if s.store, s.err = redisstore.StoreFor(rdb); s.err == nil {
		s.manager = s.store.Manager()
	}
	return s
}

// Acquire acquires n permits, blocking until they are available or ctx is done. On
// success, it returns nil. If ctx is done, it returns ctx.Err() and leaves the semaphore
// unchanged; [Weighted.AcquireLease] also returns the last Redis error. While Redis is
// unreachable, Acquire retries with backoff. Permanent errors are returned at once.
// Acquire panics if n is negative.
//
// If n exceeds the size passed to NewWeighted, Acquire blocks until ctx is done, or until
// a Resize has made n fit. If n fits the size passed to NewWeighted but exceeds the size set
// by Resize, Acquire returns ErrExceedsSize.
//
// If permits are lost, other processes can acquire them. This Weighted still counts lost
// permits as in use until they are released.
func (s *Weighted) Acquire(ctx context.Context, n int64) error {
	const op = "acquire"
	s.checkWeight(op, n)
	if n == 0 {
		if err := s.usable(op, nil); err != nil {
			return err
		}
		return ctx.Err()
	}
	for {
		l, err := s.AcquireLease(ctx, n)
		switch {
		case err == nil:
			exited := s.enter(l, n)
			if exited == nil {
				return nil
			}
			// A goroutine inside has lost its lease and has not noticed. Release ours, so
			// that other processes do not wait for nothing.
			_ = l.Release()
			select {
			case <-exited:
			case <-ctx.Done():
			}
		case n > s.size && errors.Is(err, lease.ErrExceedsSize):
			if err := s.awaitResize(ctx); err != nil {
				return err
			}
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return ctx.Err()
		default:
			return err
		}
	}
}

// awaitResize waits until the caller should try again, because a Resize may have made the
// semaphore large enough. The more callers wait, the longer each waits: together they make
// about one try in two times MaxPollInterval. A try is one request.
func (s *Weighted) awaitResize(ctx context.Context) error {
	defer s.tooLarge.Add(-1)
	timer := time.NewTimer(time.Duration(s.tooLarge.Add(1)) * 2 * lease.MaxPollInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// enter counts the permits of l. If that would exceed the size because some leases are
// lost, it returns a channel that is closed by the next Release. Exceeding the size
// alone is allowed: a Resize may have admitted them.
func (s *Weighted) enter(l *Lease, n int64) (exited <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.entered+n > s.size && s.anyLost(l):
		if s.exited == nil {
			s.exited = make(chan struct{})
		}
		return s.exited
	case s.intact != (lease.Losses{}) && l.Err() != nil:
		s.intact = lease.Losses{}
	}
	s.leases = append(s.leases, heldPermits{l, n})
	s.entered += n
	return nil
}

// anyLost reports whether l or a lease that is inside has been lost. It looks at all of
// them only if there was a loss since it has last done so.
func (s *Weighted) anyLost(l *Lease) bool {
	losses := l.impl.Losses() // before the looks, so that it counts what they cannot see yet
	lost := func(h heldPermits) bool { return h.lease.Err() != nil }
	if lost(heldPermits{lease: l}) || s.intact != losses && slices.ContainsFunc(s.leases, lost) {
		return true
	}
	s.intact = losses
	return false
}

// TryAcquire acquires n permits without waiting and reports whether it succeeded. It
// fails if fewer than n are free, or if others wait. It makes a single attempt, so it
// also fails if Redis does not answer within the client's timeouts. It panics on
// permanent errors, except that it returns false if n exceeds the size. It panics if n is
// negative.
func (s *Weighted) TryAcquire(n int64) bool {
	const op = "try to acquire"
	s.checkWeight(op, n)
	if n == 0 {
		if err := s.usable(op, nil); err != nil {
			panic(err)
		}
		return true
	}
	l, err := s.TryAcquireLease(context.Background(), n)
	switch {
	case err == nil && s.enter(l, n) == nil:
		return true
	case err == nil:
		_ = l.Release()
	case retry.IsPermanent(err) && !errors.Is(err, lease.ErrExceedsSize):
		panic(err)
	}
	return false
}

// Release releases n permits that Acquire or TryAcquire acquired. The n of Release need
// not equal the n of an Acquire. Release panics if n is negative, or if fewer than n are held. It waits for Redis
// as [Lease.Release] does.
func (s *Weighted) Release(n int64) {
	s.checkWeight("release", n)
	if n > 0 {
		lease.ReleasePartial(s.exit(n))
	}
}

// checkWeight panics if n is negative, as x/sync does.
func (s *Weighted) checkWeight(op string, n int64) {
	if n < 0 {
		panic(fmt.Sprintf("baton: %s %q: negative weight %d", op, s.key, n))
	}
}

// exit removes n permits from the leases, the oldest first.
func (s *Weighted) exit(n int64) (out []lease.PartialRelease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.entered {
		panic(fmt.Sprintf("baton: semaphore %q: released more than held", s.key))
	}
	s.entered -= n
	for n > 0 {
		part := min(n, s.leases[0].n)
		out = append(out, lease.PartialRelease{Lease: &s.leases[0].lease.impl, N: part})
		n -= part
		if s.leases[0].n -= part; s.leases[0].n == 0 {
			s.leases[0] = heldPermits{}
			s.leases = s.leases[1:]
		}
	}
	if len(s.leases) == 0 {
		s.leases, s.intact = nil, lease.Losses{}
	}
	if s.exited != nil {
		close(s.exited)
		s.exited = nil
	}
	return out
}

// AcquireLease is like Acquire but returns the lease on the permits. Its Release
// returns all of them. AcquireLease returns within milliseconds after ctx is done, even
// if Redis does not answer. ctx bounds the wait, not the hold. If ctx is already done,
// AcquireLease fails even if permits are free. n must be positive. If it exceeds the size,
// AcquireLease fails at once with ErrExceedsSize.
func (s *Weighted) AcquireLease(ctx context.Context, n int64) (*Lease, error) {
	return s.acquire(ctx, "acquire", n, false)
}

// TryAcquireLease is like AcquireLease but does not wait. It returns ErrNotAvailable if fewer
// than n permits are free, or if others wait. It makes a single attempt. It returns an
// error if Redis does not answer before ctx is done, or within the client's timeouts. If
// the permits are granted later, they are released again.
func (s *Weighted) TryAcquireLease(ctx context.Context, n int64) (*Lease, error) {
	return s.acquire(ctx, "try to acquire", n, true)
}

func (s *Weighted) acquire(ctx context.Context, op string, n int64, try bool) (*Lease, error) {
	if err := s.usable(op, weightError(n)); err != nil {
		return nil, err
	}
	l := new(Lease)
	if err := s.request(ctx, l, n, try); err != nil {
		return nil, err
	}
	if err := l.impl.Await(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// request is apart from Await so that Params leaves the stack before the wait.
func (s *Weighted) request(ctx context.Context, l *Lease, n int64, try bool) error {
	p := s.params(n, try)
	return l.impl.Request(ctx, s.manager, &p)
}

// AcquireChan is like AcquireLease but returns at once, with a channel that receives
// the result. It is made for select:
//
//   - The channel receives exactly one Result and is never closed.
//   - If ctx is done before the Result is received, the permits are released or never
//     taken, and the Result holds ctx's error. To stop waiting, cancel ctx; leaving
//     the select is not enough. The release takes a moment: a late receive may
//     still get a lease, and must release it like any other.
//   - Permits that are granted but not received are not renewed. After one TTL they
//     are released and the Result is ErrLost. So a forgotten channel does not keep them.
//
// Waiting uses no goroutine.
func (s *Weighted) AcquireChan(ctx context.Context, n int64) <-chan Result {
	l := new(Lease)
	ch := result.NewChan(leaseBuilder{l})
	if err := s.usable("acquire", weightError(n)); err != nil {
		ch.Send(err)
	} else {
		p := s.params(n, false)
		l.impl.AcquireChan(ctx, s.manager, &p, ch)
	}
	return ch.C()
}

// Do runs f while holding n permits. The ctx passed to f is canceled with the cause
// ErrLost if they are lost. Do returns f's error, joined with Release's error if there
// is one. ErrLost means that other processes may have had the permits before f returned. If
// the permits cannot be acquired, f is not called. If f panics, they are
// released. A nil f panics at once.
func (s *Weighted) Do(ctx context.Context, n int64, f func(context.Context) error) (err error) {
	if f == nil { // before acquiring
		panic("baton: Do of a nil function")
	}
	l, err := s.AcquireLease(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Release()) }()
	inner, stop := l.Context(ctx)
	defer stop()
	return f(inner)
}

func (s *Weighted) params(n int64, try bool) lease.Params {
	return lease.Params{
		Kind: lease.Semaphore, Key: s.key, Label: s.Label, TTL: s.TTL, MaxHold: s.MaxHold, Weight: n, Size: s.size, Try: try,
		Trace:    s.Trace.hooks(),
		Replicas: s.Replicas, ReplicaTimeout: s.ReplicaTimeout, NotifyContention: s.NotifyContention, Linger: s.Linger,
	}
}

// maxSize keeps every sum of permits exact where Redis computes it: the permits in use
// never exceed the largest size so far, and no request exceeds the size.
const maxSize = 1 << 52

// weightError returns why a lease cannot have n permits, or nil.
func weightError(n int64) error {
	switch {
	case n < 1:
		return fmt.Errorf("invalid number of permits %d: must be positive", n)
	case n > maxSize:
		return fmt.Errorf("%w: requested %d permits, at most 2^52 are possible", lease.ErrExceedsSize, n)
	}
	return nil
}

// usable returns why an operation cannot be tried, or nil: err, or what is wrong with s.
func (s *Weighted) usable(op string, err error) error {
	switch {
	case s.manager == nil && s.err == nil:
		err = errors.New("the Weighted was not made by NewWeighted")
	case s.err != nil:
		err = s.err
	case s.size > maxSize:
		err = fmt.Errorf("invalid size %d: must be at most 2^52", s.size)
	case err == nil:
		return nil
	}
	return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, s.key, err))
}
