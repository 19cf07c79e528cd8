package semaphore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// maxBurst is how far Redis' scripts count without rounding.
const maxBurst = 1 << 52

// A Limiter works like a Limiter of x/time/rate that processes share: all that
// are made for the same key, wherever they run, take from one bucket of burst
// tokens, which is full at first and is refilled at the limit. Most callers want
// [Limiter.Wait]; who would rather drop an event than wait wants
// [Limiter.Allow]. Four things differ from rate, because a network is in the way:
//
//   - A decision is one request to Redis, and counts on the clock of Redis alone.
//     A wait is the same one request: its answer says how long to sleep.
//   - When Redis is away Wait waits for it and Allow says no.
//   - The limit and the burst are fixed. To change them, make another Limiter for
//     the key: what was taken stays taken. While both are in use each decides by
//     its own burst, and the bucket is refilled at the limit of the one that took
//     from it last.
//   - To ask for no events, or fewer, is an error.
//
// A limit of 0 allows no events, whatever the burst. The key expires when the
// bucket is full.
//
// A Limiter is made by [NewLimiter]. It needs no Close, and may be used by any
// number of goroutines.
type Limiter struct {
	key    string
	limit  Limit
	burst  int
	bucket *redisstore.Bucket
	err    error // why it cannot be used

	id      string // of its draws, with the serial number
	serial  atomic.Int64
	refunds lease.Backlog
}

// NewLimiter returns a limiter for the key, of r events a second and bursts of at
// most burst. The key itself becomes the bucket: a string. Any key will do but
// the empty one and those that begin with "baton:{", which are the library's own;
// these, a nil client, and a limit or a burst that is negative make the first
// operation fail.
func NewLimiter(rdb redis.UniversalClient, key string, r Limit, burst int) *Limiter {
	l := &Limiter{key: key, limit: r, burst: burst, id: rand.Text()[:16]}
	l.bucket, l.err = redisstore.NewBucket(rdb)
	switch {
	case l.err != nil:
	case math.IsNaN(float64(r)) || r < 0:
		l.err = fmt.Errorf("the limit is %v", r)
	case burst < 0 || burst > maxBurst:
		l.err = fmt.Errorf("the burst is %d", burst)
	default:
		l.err = redisstore.ValidKey(key)
	}
	return l
}

// Limit returns the rate at which events may happen.
func (l *Limiter) Limit() Limit { return l.limit }

// Burst returns how many events may happen at once.
func (l *Limiter) Burst() int { return l.burst }

// Allow reports whether an event may happen now.
func (l *Limiter) Allow() bool { return l.AllowN(1) }

// AllowN reports whether n events may happen now, and takes their tokens if so.
// It asks once, and fails closed: if Redis does not answer, for as long as the
// client waits for it, they may not. Should only the answer be lost, the tokens
// are gone. It panics on what waiting cannot cure, as a key of another type.
func (l *Limiter) AllowN(n int) bool {
	ok, err := l.AllowNContext(context.Background(), n)
	if err != nil && lease.IsPermanent(err) {
		panic(err)
	}
	return ok
}

// AllowContext is like Allow, but tells what it failed with.
func (l *Limiter) AllowContext(ctx context.Context) (bool, error) { return l.AllowNContext(ctx, 1) }

// AllowNContext is like AllowN, but tells what it failed with, and returns within
// milliseconds of the end of ctx.
func (l *Limiter) AllowNContext(ctx context.Context, n int) (bool, error) {
	d, err := l.draw("allow", n)
	switch {
	case err != nil || n > l.burst && !l.unlimited() || l.limit == 0:
		return false, err
	case l.unlimited() && ctx.Err() == nil:
		return true, nil
	}
	turn, err := lease.Call(ctx, d.Op, d.Key, false, func(ctx context.Context) (lease.Turn, error) {
		return l.bucket.Take(ctx, d)
	})
	return turn.Taken, err
}

// Wait waits until an event may happen.
func (l *Limiter) Wait(ctx context.Context) error { return l.WaitN(ctx, 1) }

// WaitN waits until n events may happen, in the order in which Redis was asked.
// It fails at once, and takes nothing, if n exceeds the burst, or if ctx has a
// deadline that comes before its turn; the error is then DeadlineExceeded.
//
// If ctx ends while it waits it returns within milliseconds, and gives back what
// it has taken but for what others have taken since: they keep their turns, which
// would otherwise meet with those of newcomers. So, as with rate, a crowd that
// gives up all at once leaves some turns unused, rather than exceed the limit.
//
// While Redis is away it waits for that too, with backoff; when ctx ends, the
// error also names what Redis last failed with. What waiting cannot cure is
// returned at once. An answer that is lost is asked for again, and takes no more
// tokens if that is within 15 seconds.
func (l *Limiter) WaitN(ctx context.Context, n int) error {
	d, err := l.reservation(ctx, n)
	if err != nil || d.ID == "" {
		return err
	}
	return d.Wait(ctx, l.bucket)
}

// WaitChan is like Wait, but returns at once, with a channel that yields exactly
// one value and is never closed: nil when the event may happen. If ctx ends before
// that is received, the turn is given back and the channel yields ctx's error. So
// to stop waiting, end ctx; leaving the select is not enough. A nil that lies in
// the channel already takes a moment to be taken back: who receives after ctx has
// ended may still be let through. Once Redis has answered, waiting costs no
// goroutine.
func (l *Limiter) WaitChan(ctx context.Context) <-chan error {
	box := lease.NewBox(lease.Bare{})
	if d, err := l.reservation(ctx, 1); err != nil || d.ID == "" {
		box.Put(err)
	} else {
		d.WaitChan(ctx, l.bucket, box)
	}
	return box.C()
}

// reservation returns the draw of a wait; it has no ID if there is no need to ask.
func (l *Limiter) reservation(ctx context.Context, n int) (lease.Draw, error) {
	d, err := l.draw("wait", n)
	switch {
	case err != nil:
	case l.limit == 0:
		err = wrong("wait", l.key, errors.New("a limit of 0 allows no events"))
	case n > l.burst && !l.unlimited():
		err = wrong("wait", l.key, fmt.Errorf("%d exceeds the burst of %d", n, l.burst))
	case !l.unlimited() || ctx.Err() != nil: // of which the wait tells
		d.Refunds = &l.refunds
		d.ID = l.id + strconv.FormatInt(l.serial.Add(1), 36)
	}
	return d, err
}

func (l *Limiter) draw(op string, n int) (lease.Draw, error) {
	err := l.err
	switch {
	case err != nil:
	case l.bucket == nil:
		err = errors.New("the Limiter was not made by NewLimiter")
	case n <= 0:
		err = fmt.Errorf("%d events", n)
	}
	if err != nil {
		return lease.Draw{}, wrong(op, l.key, err)
	}
	return lease.Draw{Op: op, Key: l.key, N: n, Rate: float64(l.limit), Burst: l.burst}, nil
}

// unlimited reports whether there is nothing to ask.
func (l *Limiter) unlimited() bool { return l.limit >= Inf }

func wrong(op, key string, err error) error {
	return lease.Permanent(fmt.Errorf("baton: %s %q: %w", op, key, err))
}
