package semaphore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// maxBurst is the largest integer below which the scripts count without rounding.
const maxBurst = 1 << 52

// A Limiter works like a Limiter of golang.org/x/time/rate that processes share: all
// Limiters with the same key take tokens from one bucket. The bucket holds burst tokens,
// is full at first, and is refilled at the rate limit. Most callers should use
// [Limiter.Wait]; use [Limiter.Allow] to drop events instead of waiting. It differs from
// rate.Limiter in these ways:
//
//   - A decision is one request to Redis and uses the server's clock. A wait makes the
//     same single request: the reply states how long to sleep.
//   - While Redis is unreachable, Wait retries and Allow returns false.
//   - Limit and burst are fixed: there are no SetLimit and SetBurst. To change them, create
//     another Limiter with the same key. Tokens already taken stay taken. While two
//     configurations are in use, each decides by its own burst, and the bucket is refilled
//     at the limit of the last call.
//   - WaitChan replaces Reserve, and Inspect replaces Tokens.
//   - AllowN has no time argument. n must be positive.
//
// A limit of 0 allows no events, whatever the burst. The burst must be at most 2^52. The
// key expires when the bucket is full again.
//
// A Limiter must be created by [NewLimiter]. There is nothing to close. Its methods may
// be called by multiple goroutines simultaneously.
type Limiter struct {
	// Trace, if not nil, receives the events of each Allow and Wait. Inspect and invalid calls
	// are not reported. A Limiter holds nothing, so it calls only Waiting, Acquired, Failed and
	// RedisError. It calls Released only for a token of WaitChan that was not received, and so
	// was refunded. Set it before first use.
	Trace *Trace

	key   string
	limit Limit
	burst int
	store *redisstore.Store
	err   error // why it cannot be used

	id     string // prefix of its reservation ids
	serial atomic.Int64
	client ratelimit.Client
}

// NewLimiter returns a limiter for key that allows r events per second, and bursts of at
// most burst events. The key itself is the bucket: a string. It must not be empty and
// must not start with "baton:{". The burst must be at most 2^52, because Redis computes
// with floating-point numbers. An invalid key, a negative limit, an invalid burst, or a
// nil client makes the first operation fail.
func NewLimiter(rdb redis.UniversalClient, key string, r Limit, burst int) *Limiter {
	l := &Limiter{key: key, limit: r, burst: burst, id: rand.Text()[:16]}
	l.store, l.err = redisstore.StoreFor(rdb)
	switch {
	case l.err != nil:
	case math.IsNaN(float64(r)) || r < 0:
		l.err = fmt.Errorf("invalid limit %v", r)
	case burst < 0 || burst > maxBurst:
		l.err = fmt.Errorf("invalid burst %d", burst)
	default:
		l.err = redisstore.ValidKey(key)
	}
	return l
}

// Limit returns the maximum overall event rate.
func (l *Limiter) Limit() Limit { return l.limit }

// Burst returns the maximum number of events that can happen at once.
func (l *Limiter) Burst() int { return l.burst }

// Allow reports whether an event may happen now. It is AllowN(1).
func (l *Limiter) Allow() bool { return l.AllowN(1) }

// AllowN reports whether n events may happen now. If so, it takes n tokens. It makes a
// single request. If Redis does not answer within the client's timeouts, AllowN returns
// false; if only the reply was lost, the tokens are spent. It panics on permanent errors,
// such as a key of the wrong type.
func (l *Limiter) AllowN(n int) bool {
	ok, err := l.AllowNContext(context.Background(), n)
	if err != nil && retry.IsPermanent(err) {
		panic(err)
	}
	return ok
}

// AllowContext is like Allow but returns the error. It is AllowNContext(ctx, 1).
func (l *Limiter) AllowContext(ctx context.Context) (bool, error) { return l.AllowNContext(ctx, 1) }

// AllowNContext is like AllowN but returns the error. It returns within milliseconds
// after ctx is done.
func (l *Limiter) AllowNContext(ctx context.Context, n int) (bool, error) {
	r, err := l.newReservation("allow", n)
	var got ratelimit.TakeResult
	switch {
	case err != nil || n > l.burst && !l.unlimited() || l.limit == 0:
	case l.unlimited() && ctx.Err() == nil:
		got.Taken = true
	default:
		got, err = retry.Do(ctx, r.Op, r.Key, false, func(ctx context.Context) (ratelimit.TakeResult, error) {
			got, err := l.store.Take(ctx, r)
			r.Asked(ctx, "take", err)
			return got, err
		})
	}
	r.Ended(ctx, 0, got.Taken, err)
	return got.Taken, err
}

// Wait blocks until an event may happen. It is WaitN(ctx, 1).
func (l *Limiter) Wait(ctx context.Context) error { return l.WaitN(ctx, 1) }

// WaitN blocks until n events may happen. Requests are served in the order in which
// Redis received them. WaitN sleeps after the reply, by the local clock. So an event is
// never early, and late by one network delay at most. WaitN fails at once, without taking
// tokens, if n exceeds the burst. If the wait would exceed ctx's deadline, it fails at once
// with context.DeadlineExceeded.
//
// If ctx is done while it sleeps, WaitN returns within milliseconds and refunds its
// tokens. It does not refund tokens that were already counted for waiters behind it: these
// waiters keep their times. If many waiters give up together, some tokens stay unused, as in
// x/time/rate. The limit is never exceeded.
//
// While Redis is unreachable, WaitN retries with backoff until ctx is done. The error
// then wraps both ctx's error and the last Redis error. Permanent errors are returned
// at once. A retry after a lost reply takes no further tokens if it comes within 15
// seconds.
func (l *Limiter) WaitN(ctx context.Context, n int) error {
	r, err := l.waitReservation(ctx, n)
	if err != nil || r.ID == "" {
		r.Ended(ctx, 0, err == nil, err)
		return err
	}
	return r.Wait(ctx, l.store)
}

// WaitChan is like Wait but returns at once, with a channel that receives nil when the
// event may happen, or an error. It receives exactly one value and is never closed. If ctx is done
// before the value is received, the token is refunded and the channel receives ctx's
// error. To stop waiting, cancel ctx; leaving the select is not enough. The refund takes
// a moment: a late receive may still get nil. Once Redis has replied, waiting uses no
// goroutine.
func (l *Limiter) WaitChan(ctx context.Context) <-chan error {
	ch := result.NewChan(result.ErrorOnly{})
	if r, err := l.waitReservation(ctx, 1); err != nil || r.ID == "" {
		ch.Send(err)
		r.Ended(ctx, 0, err == nil, err)
	} else {
		r.WaitChan(ctx, l.store, ch)
	}
	return ch.C()
}

// waitReservation returns the request of a wait. Its ID is empty if no request is needed.
func (l *Limiter) waitReservation(ctx context.Context, n int) (ratelimit.Reservation, error) {
	r, err := l.newReservation("wait", n)
	switch {
	case err != nil:
	case l.limit == 0:
		err = usageError("wait", l.key, errors.New("a limit of 0 allows no events"))
	case n > l.burst && !l.unlimited():
		err = usageError("wait", l.key, fmt.Errorf("%d exceeds the burst of %d", n, l.burst))
	case !l.unlimited() || ctx.Err() != nil: // the wait itself emits the event
		r.Client = &l.client
		r.ID = l.id + strconv.FormatInt(l.serial.Add(1), 36)
	}
	return r, err
}

func (l *Limiter) newReservation(op string, n int) (ratelimit.Reservation, error) {
	err := l.err
	switch {
	case err != nil:
	case l.store == nil:
		err = errors.New("the Limiter was not made by NewLimiter")
	case n <= 0:
		err = fmt.Errorf("invalid event count %d", n)
	}
	if err != nil {
		return ratelimit.Reservation{}, usageError(op, l.key, err)
	}
	r := ratelimit.Reservation{Op: op, Key: l.key, N: n, Rate: float64(l.limit), Burst: l.burst}
	if l.Trace != nil {
		r.Trace, r.Began = l.Trace.hooks(), time.Now()
	}
	return r, nil
}

// unlimited reports whether no request is needed.
func (l *Limiter) unlimited() bool { return l.limit >= Inf }

func usageError(op, key string, err error) error {
	return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, key, err))
}
