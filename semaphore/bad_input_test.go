package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A victim is what a row of the table is called on, of each type one, and the
// number that is asked for.
type victim struct {
	sem *semaphore.Weighted
	lim *semaphore.Limiter
	n   int64
}

func victimOf(rdb redis.UniversalClient, key string) victim {
	return victim{semaphore.NewWeighted(rdb, key, 10), semaphore.NewLimiter(rdb, key, 1, 10), 1}
}

// timed is a victim with such times. A Limiter has none.
func timed(rdb redis.UniversalClient, ttl, maxHold time.Duration) victim {
	v := victimOf(rdb, "key")
	v.sem.TTL, v.sem.MaxHold, v.lim = ttl, maxHold, nil
	return v
}

// A row is what is done with one exported function, by the type that it is of.
type row struct {
	sem func(ctx context.Context, v victim) error
	lim func(ctx context.Context, v victim) error
	// What it says, if it says the same of every victim; else it says what is wrong
	// with that. Of those that take no ctx, no ctx is wrong.
	always string
	noCtx  bool
	// What a row has no use for: TTL and MaxHold, or n.
	noTTL, noN bool
}

func fails(l *semaphore.Lease, err error) error {
	if (l == nil) == (err == nil) {
		return fmt.Errorf("both or neither of %v and %v", l, err)
	}
	return err
}

func called(context.Context) error { panic("it was called") }

// outcome returns what f returns or panics with.
func outcome(f func() error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	return f()
}

// zero is a row of a method of the zero Lease, which says what is wanted, and then
// of a nil one, which panics.
func zero(want string, do func(l *semaphore.Lease) any) row {
	return row{always: "nil pointer", noCtx: true, sem: func(context.Context, victim) error {
		var got any
		if outcome(func() error { got = do(new(semaphore.Lease)); return nil }); fmt.Sprint(got) != want {
			return fmt.Errorf("the zero Lease says %v and not %s", got, want)
		}
		return outcome(func() error { do(nil); return nil })
	}}
}

// same is a row of a function that says the same to everything.
func same(always string, do func(v victim) any) row {
	return row{always: always, noCtx: true, sem: func(_ context.Context, v victim) error { return fmt.Errorf("%v", do(v)) }}
}

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"NewWeighted": same("made", func(victim) any { semaphore.NewWeighted(nil, "", math.MinInt64); return "made" }),
	"NewLimiter":  same("made", func(victim) any { semaphore.NewLimiter(nil, "", semaphore.Limit(math.NaN()), -1); return "made" }),
	"Every": same("true true true true", func(victim) any {
		return fmt.Sprint(semaphore.Every(0) == semaphore.Inf, semaphore.Every(-1) == semaphore.Inf, semaphore.Every(math.MinInt64) == semaphore.Inf,
			semaphore.Every(math.MaxInt64) > 0)
	}),

	"Weighted.Acquire":         {sem: func(ctx context.Context, v victim) error { return v.sem.Acquire(ctx, v.n) }},
	"Weighted.TryAcquire":      {noCtx: true, sem: func(_ context.Context, v victim) error { v.sem.TryAcquire(v.n); return nil }},
	"Weighted.Release":         {always: "release", noCtx: true, sem: func(_ context.Context, v victim) error { v.sem.Release(v.n); return nil }},
	"Weighted.AcquireLease":    {sem: func(ctx context.Context, v victim) error { return fails(v.sem.AcquireLease(ctx, v.n)) }},
	"Weighted.TryAcquireLease": {sem: func(ctx context.Context, v victim) error { return fails(v.sem.TryAcquireLease(ctx, v.n)) }},
	"Weighted.AcquireChan": {sem: func(ctx context.Context, v victim) error {
		r := <-v.sem.AcquireChan(ctx, v.n)
		return fails(r.Lease, r.Err)
	}},
	"Weighted.Do":     {sem: func(ctx context.Context, v victim) error { return v.sem.Do(ctx, v.n, called) }},
	"Weighted.Resize": {noTTL: true, sem: func(ctx context.Context, v victim) error { return v.sem.Resize(ctx, v.n) }},

	"Weighted.Inspect": {noTTL: true, noN: true, sem: func(ctx context.Context, v victim) error { _, err := v.sem.Inspect(ctx); return err }},

	"Lease.Release": zero(semaphore.ErrLost.Error(), func(l *semaphore.Lease) any { return l.Release() }),
	"Lease.Err":     zero(semaphore.ErrLost.Error(), func(l *semaphore.Lease) any { return l.Err() }),
	"Lease.Done":    zero("{} false", func(l *semaphore.Lease) any { x, ok := <-l.Done(); return fmt.Sprint(x, ok) }),
	"Lease.Context": zero(semaphore.ErrLost.Error(), func(l *semaphore.Lease) any {
		ctx, stop := l.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
	"Lease.Fence": zero("0", func(l *semaphore.Lease) any { return l.Fence() }),

	"Limiter.Limit":         same("0", func(victim) any { return new(semaphore.Limiter).Limit() }),
	"Limiter.Burst":         same("0", func(victim) any { return new(semaphore.Limiter).Burst() }),
	"Limiter.Allow":         {noCtx: true, noN: true, lim: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.Allow()) }},
	"Limiter.AllowN":        {noCtx: true, lim: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.AllowN(int(v.n))) }},
	"Limiter.AllowContext":  {noN: true, lim: func(ctx context.Context, v victim) error { _, err := v.lim.AllowContext(ctx); return err }},
	"Limiter.AllowNContext": {lim: func(ctx context.Context, v victim) error { _, err := v.lim.AllowNContext(ctx, int(v.n)); return err }},
	"Limiter.Wait":          {noN: true, lim: func(ctx context.Context, v victim) error { return v.lim.Wait(ctx) }},
	"Limiter.WaitN":         {lim: func(ctx context.Context, v victim) error { return v.lim.WaitN(ctx, int(v.n)) }},
	"Limiter.WaitChan":      {noN: true, lim: func(ctx context.Context, v victim) error { return <-v.lim.WaitChan(ctx) }},
}

func TestBadInputIsWhole(t *testing.T) { redistest.Covers(t, ".", badInput) }

// TestBadInput calls every exported function on whatever cannot be used: it says
// what is wrong, writes nothing, and takes nothing from those who hold something.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	asks, rdb := s.Client(t), s.Client(t) // rdb is to be asked for nothing
	var sent meter
	rdb.AddHook(&sent)
	ctx := t.Context()
	var client *redis.Client
	var cluster *redis.ClusterClient
	var noCtx context.Context
	ended, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("why it ended"))

	must(asks.RPush(ctx, "list", "x").Err())
	must(asks.SAdd(ctx, "set", "x").Err())
	must(asks.ZAdd(ctx, "zset", redis.Z{Member: "x"}).Err())
	must(asks.HSet(ctx, "hash", "x", "y").Err())
	must(asks.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []string{"x", "y"}}).Err())
	one := semaphore.NewWeighted(asks, "held", 3)
	one.TTL = time.Hour // not renewed meanwhile
	held := acquire(t, one, 2)
	before := fmt.Sprint(dump(t, asks))

	check := func(name string, r row, what string, ctx context.Context, v victim, want string) {
		t.Helper()
		do := r.sem
		if do == nil {
			do = r.lim
		}
		if r.sem != nil && v.sem == nil || r.lim != nil && v.lim == nil {
			return
		}
		if r.always != "" {
			want = r.always
		}
		err := outcome(func() error { return do(ctx, v) })
		text := fmt.Sprint(err)
		if !strings.Contains(text, want) || r.always == "" && ctx != nil && !strings.Contains(text, "baton: ") {
			t.Errorf("%s of %s: %v, and not %q", name, what, err, want)
		}
		if n := sent.scripts.Swap(0); n != 0 {
			t.Errorf("%s of %s: %d requests were sent", name, what, n)
		}
	}
	sized := func(n int64) victim { return victim{semaphore.NewWeighted(rdb, "key", n), nil, 1} }
	limited := func(r semaphore.Limit, burst int) victim {
		return victim{nil, semaphore.NewLimiter(rdb, "key", r, burst), 1}
	}
	numbered := func(n int64) victim {
		return victim{semaphore.NewWeighted(rdb, "key", 10), semaphore.NewLimiter(rdb, "key", semaphore.Inf, 10), n}
	}
	type badCase struct {
		victim
		want string
	}
	for name, r := range badInput {
		for what, bad := range map[string]badCase{
			"no key":                {victimOf(rdb, ""), "the key is empty"},
			"a key of ours":         {victimOf(rdb, "baton:{key}:line"), "library's own"},
			"no client":             {victimOf(nil, "key"), "client is nil"},
			"a nil client":          {victimOf(client, "key"), "client is nil"},
			"a nil cluster":         {victimOf(cluster, "key"), "client is nil"},
			"what New has not made": {victim{new(semaphore.Weighted), new(semaphore.Limiter), 1}, "not made by New"},
			"a size of 0":           {sized(0), "a size of 0 "},
			"a negative size":       {sized(math.MinInt64), "a size of -9"},
			"a huge size":           {sized(1<<40 + 1), "a size of 1099511627777 "},
			"a negative limit":      {limited(-5e-324, 1), "the limit is -5e-324"},
			"an infinite debt":      {limited(semaphore.Limit(math.Inf(-1)), 1), "the limit is -Inf"},
			"no number":             {limited(semaphore.Limit(math.NaN()), 1), "the limit is NaN"},
			"a negative burst":      {limited(1, math.MinInt), "the burst is -9"},
			"a huge burst":          {limited(1, 1<<52+1), "the burst is 4503599627370497"},
			"a list":                {victimOf(asks, "list"), "WRONGTYPE"},
			"a set":                 {victimOf(asks, "set"), "WRONGTYPE"},
			"a sorted set":          {victimOf(asks, "zset"), "WRONGTYPE"},
			"a stream":              {victimOf(asks, "stream"), "WRONGTYPE"},
			"a hash":                {victimOf(asks, "hash"), "WRONGTYPE"},
		} {
			check(name, r, what, ctx, bad.victim, bad.want)
		}
		for what, bad := range map[string]badCase{
			"no TTL":             {timed(rdb, 0, 0), "TTL 0s"},
			"the least TTL":      {timed(rdb, math.MinInt64, 0), "TTL -2562047h"},
			"a TTL of 1.5 ms":    {timed(rdb, 1500*time.Microsecond, 0), "TTL 1.5ms"},
			"a negative MaxHold": {timed(rdb, ample, -1), "MaxHold -1ns"},
		} {
			if !r.noTTL {
				check(name, r, what, ctx, bad.victim, bad.want)
			}
		}
		for _, n := range []int64{0, -1, math.MinInt64} {
			if !r.noN {
				check(name, r, fmt.Sprint("n = ", n), ctx, numbered(n), fmt.Sprint(n))
			}
		}
		good := victimOf(rdb, "key")
		if !r.noCtx {
			check(name, r, "a ctx that has ended", ended, good, "why it ended")
			check(name, r, "a nil ctx", noCtx, good, "nil")
		}
		if r.lim != nil && !r.noCtx && strings.Contains(name, "Wait") { // which has no need to ask
			check(name, r, "no limit, with a ctx that has ended", ended, numbered(1), "why it ended")
		}
	}
	good := victimOf(rdb, "key")
	check("Weighted.Do", row{sem: func(context.Context, victim) error { return good.sem.Do(ctx, 1, nil) }}, "a nil function", noCtx, good, "nil function")
	check("Weighted.Release", row{sem: func(context.Context, victim) error { one.Release(1); return nil }}, "a lease's permits", noCtx, good, "more than held")

	if after := fmt.Sprint(dump(t, asks)); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if err := held.Err(); err != nil {
		t.Errorf("what was held has ended: %v", err)
	}
	copied := *held
	release(t, &copied)
	if err := held.Release(); !errors.Is(err, semaphore.ErrReleased) {
		t.Errorf("Release after that of a copy returned %v", err)
	}
	release(t, acquire(t, one, 3)) // all that there are, and no more
	if _, err := one.AcquireLease(ctx, 4); !errors.Is(err, semaphore.ErrSize) {
		t.Errorf("more than there are: %v", err)
	}
}
