package semaphore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// DefaultTTL is the TTL of a Weighted made by NewWeighted.
const DefaultTTL = 10 * time.Second

// A Weighted works like the one of golang.org/x/sync/semaphore, for processes:
// all that are made for the same key share its permits, wherever they run. Most
// callers want Acquire and Release, or [Weighted.AcquireLease] if they care what
// happens when Redis does not answer. These things differ, because a network is
// in the way:
//
//   - Permits are leased. They are renewed for as long as their process lives, and
//     come back within TTL of its death. If they cannot be renewed they are
//     lost, though the work still runs: a [Lease] tells of it, Acquire cannot.
//   - It is fair between processes too: who asked first is served first, however
//     much it wants, and nobody overtakes. Within a process, permits pass from
//     goroutine to goroutine until all who waited there have had theirs, once or for
//     about as long as ten requests take, 1 to 20 ms. Then others get their turn.
//   - The size lives in Redis. Processes that were told different sizes get
//     ErrSize, rather than a few permits too many. [Weighted.Resize] changes it.
//   - What can never succeed fails at once, with ErrSize: to want more permits
//     than there are. To want none, or fewer, is an error.
//
// A Weighted is made by [NewWeighted] and must not be copied after first use. It
// needs no Close.
type Weighted struct {
	// TTL is how long Redis keeps the permits of a process that has died. It is cut
	// to whole milliseconds, and is at least 10 of them. The permits of a process are
	// kept together: the longest TTL in use there counts for all. Set it before
	// first use.
	TTL time.Duration

	// MaxHold, if not 0, is for how long a hold is renewed, so that a forgotten
	// Release cannot keep its permits for days: they are lost within TTL
	// thereafter. Set it before first use.
	MaxHold time.Duration

	// Label is what [Weighted.Inspect] says of the permits of this process, beside
	// host and process id. It is for people; 100 bytes of it are kept. Of several in a
	// process that use one key, the first to ask counts. Set it before first use.
	Label string

	// Trace, if not nil, is told what becomes of each request and each hold. Set it
	// before first use.
	Trace *Trace

	key    string
	size   int64
	keeper *lease.Keeper
	store  *redisstore.Store
	err    error // why there is no keeper

	// Who is inside by Acquire or TryAcquire, whether its lease is still good or
	// not: should it be lost, others get its permits, but here it counts until its
	// Release.
	mu     sync.Mutex
	inside int64
	leases []held        // the oldest first, which mostly are those that have been lost
	sound  lease.Losses  // up to which none of them has been lost
	left   chan struct{} // closed when somebody leaves; nil if nobody waits for that
}

type held struct {
	lease *Lease
	n     int64
}

// NewWeighted returns a semaphore of n permits for the key, with the default
// TTL. The size is stored with the first use of the key, and forgotten when it
// has not been used for 65 minutes: to deploy another, call [Weighted.Resize]. Any key will do but the empty one and those
// that begin with "baton:{"; these, a size below 1, and a nil client make the
// first operation fail.
func NewWeighted(rdb redis.UniversalClient, key string, n int64) *Weighted {
	s := &Weighted{TTL: DefaultTTL, key: key, size: n}
	if s.keeper, s.err = redisstore.Keeper(rdb); s.err == nil {
		s.store = redisstore.NewStore(rdb)
	}
	return s
}

// Acquire takes n permits, waiting until it can or until ctx ends; then it takes
// none and returns an error that ctx's can be found in. It waits for Redis to
// come back, too. What waiting cannot cure is returned at once.
//
// Whoever is inside by Acquire or TryAcquire counts until its Release for those
// that come through the same Weighted, even if its permits are lost: no more than
// the size that it was made with are inside it then. Other processes do not know.
func (s *Weighted) Acquire(ctx context.Context, n int64) error {
	for {
		l, err := s.AcquireLease(ctx, n)
		if err != nil {
			return err
		}
		left := s.enter(l, n)
		if left == nil {
			return nil
		}
		// Who is inside has lost its lease and does not know it yet. To keep ours
		// meanwhile would keep other processes waiting for nothing.
		_ = l.Release()
		select {
		case <-left:
		case <-ctx.Done():
		}
	}
}

// enter goes inside with the lease. If that would be too many, because some of
// them have lost theirs, it returns what is closed when one has left. More than
// the size is not too many by itself: a Resize may have let them in.
func (s *Weighted) enter(l *Lease, n int64) (left <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.inside+n > s.size && s.anyLost(l):
		if s.left == nil {
			s.left = make(chan struct{})
		}
		return s.left
	case s.sound != (lease.Losses{}) && l.Err() != nil:
		s.sound = lease.Losses{}
	}
	s.leases = append(s.leases, held{l, n})
	s.inside += n
	return nil
}

// anyLost reports whether l or a lease that is inside has been lost. It looks at all of
// them only if there was a loss since it has last done so.
func (s *Weighted) anyLost(l *Lease) bool {
	losses := l.hold.Losses() // before the looks, so that it counts what they cannot see yet
	lost := func(h held) bool { return h.lease.Err() != nil }
	if lost(held{lease: l}) || s.sound != losses && slices.ContainsFunc(s.leases, lost) {
		return true
	}
	s.sound = losses
	return false
}

// TryAcquire takes n permits if that many are free and nobody waits, and reports
// whether it did. It makes one attempt, which fails if Redis does not answer for
// as long as the client waits for it. It panics on what waiting cannot cure, but
// to want more permits than there are is only too many.
func (s *Weighted) TryAcquire(n int64) bool {
	l, err := s.TryAcquireLease(context.Background(), n)
	switch {
	case err == nil && s.enter(l, n) == nil:
		return true
	case err == nil:
		_ = l.Release()
	case lease.IsPermanent(err) && !errors.Is(err, lease.ErrTooLarge):
		panic(err)
	}
	return false
}

// Release gives n permits back that were taken by Acquire or TryAcquire, in
// whatever portions. It panics if fewer are held. It waits for Redis as
// [Lease.Release] does.
func (s *Weighted) Release(n int64) {
	if n <= 0 {
		panic(fmt.Sprintf("baton: release of %d permits of semaphore %q", n, s.key))
	}
	lease.ReleaseParts(s.leave(n))
}

// leave takes n permits out of the leases, the oldest first.
func (s *Weighted) leave(n int64) (out []lease.Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.inside {
		panic(fmt.Sprintf("baton: semaphore %q: released more than held", s.key))
	}
	s.inside -= n
	for n > 0 {
		part := min(n, s.leases[0].n)
		out = append(out, lease.Part{Lease: &s.leases[0].lease.hold, N: part})
		n -= part
		if s.leases[0].n -= part; s.leases[0].n == 0 {
			s.leases[0] = held{}
			s.leases = s.leases[1:]
		}
	}
	if len(s.leases) == 0 {
		s.leases, s.sound = nil, lease.Losses{}
	}
	if s.left != nil {
		close(s.left)
		s.left = nil
	}
	return out
}

// AcquireLease is like Acquire but returns the lease on the permits, all of which
// its Release gives back. It returns within milliseconds of the end of ctx. ctx
// does not bound the hold, and one that has ended gets no permits, though they
// be free.
func (s *Weighted) AcquireLease(ctx context.Context, n int64) (*Lease, error) {
	return s.acquire(ctx, "acquire", n, false)
}

// TryAcquireLease is like AcquireLease but does not wait for permits: it returns
// ErrLocked if there are too few, or if others wait.
func (s *Weighted) TryAcquireLease(ctx context.Context, n int64) (*Lease, error) {
	return s.acquire(ctx, "try to acquire", n, true)
}

func (s *Weighted) acquire(ctx context.Context, op string, n int64, try bool) (*Lease, error) {
	if err := s.usable(op, n); err != nil {
		return nil, err
	}
	l := new(Lease)
	if err := s.request(ctx, l, n, try); err != nil {
		return nil, err
	}
	if err := l.hold.Await(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (s *Weighted) request(ctx context.Context, l *Lease, n int64, try bool) error {
	p := s.params(n, try)
	return l.hold.Request(ctx, s.keeper, &p)
}

// AcquireChan is like AcquireLease but returns at once, with a channel that
// receives the result. It is made for select:
//
//   - The channel yields exactly one Result and is never closed.
//   - If ctx ends before the Result is received, the permits are given back at
//     once, or not taken at all, and the Result is ctx's error. So to stop
//     waiting, end ctx; leaving the select is not enough. A grant that already
//     lies in the channel takes a moment to be given back: who receives after ctx
//     has ended may still be handed a lease, and must release it like any other.
//   - Permits that are granted but not received are not renewed. After one TTL they
//     are given back and the Result is ErrLost.
//
// It costs no goroutine to wait.
func (s *Weighted) AcquireChan(ctx context.Context, n int64) <-chan Result {
	l := new(Lease)
	box := lease.NewBox(asked{l})
	if err := s.usable("acquire", n); err != nil {
		box.Put(err)
	} else {
		p := s.params(n, false)
		l.hold.AcquireChan(ctx, s.keeper, &p, box)
	}
	return box.C()
}

// Do runs f while it holds n permits. The ctx of f is cancelled with the cause
// ErrLost if they are lost. Do returns what f returned, joined with the error of
// Release if that has one. If the permits cannot be had, f is not called. A panic
// of f releases. A nil f panics at once.
func (s *Weighted) Do(ctx context.Context, n int64, f func(context.Context) error) (err error) {
	if f == nil { // before anything is acquired for it
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
		Trace: s.Trace,
	}
}

// maxSize keeps every sum of permits exact where Redis computes it.
const maxSize = 1 << 40

// usable returns why n permits cannot be asked for, nil if they can.
func (s *Weighted) usable(op string, n int64) error {
	var err error
	switch {
	case s.keeper == nil && s.err == nil:
		err = errors.New("the Weighted was not made by NewWeighted")
	case s.err != nil:
		err = s.err
	case s.size < 1 || s.size > maxSize:
		err = fmt.Errorf("a size of %d permits is not within 1 and 2^40", s.size)
	case n < 1 || n > maxSize:
		err = fmt.Errorf("%d permits are not within 1 and 2^40", n)
	default:
		return nil
	}
	return lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, s.key, err))
}
