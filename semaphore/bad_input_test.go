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

// A victim has one value of each type, for the calls of the table.
type victim struct {
	sem *semaphore.Weighted
	lim *semaphore.Limiter
	n   int64 // permits, or events
}

func victimOf(rdb redis.UniversalClient, key string) victim {
	return victim{semaphore.NewWeighted(rdb, key, 10), semaphore.NewLimiter(rdb, key, 1, 10), 1}
}

// timed returns a victim with these times. It has no Limiter, which has no times.
func timed(rdb redis.UniversalClient, ttl, maxHold time.Duration) victim {
	v := victimOf(rdb, "key")
	v.sem.TTL, v.sem.MaxHold, v.lim = ttl, maxHold, nil
	return v
}

func (v victim) withReplicas(n int, timeout time.Duration) victim {
	v.sem.Replicas, v.sem.ReplicaTimeout = n, timeout
	return v
}

// A row calls one exported function.
type row struct {
	sem    func(ctx context.Context, v victim) error // of a Weighted, or else
	lim    func(ctx context.Context, v victim) error // of a Limiter
	always string                                    // expected text if it does not depend on the victim
	noCtx  bool                                      // it has no ctx, or is Acquire
	noTTL  bool                                      // it does not use TTL and MaxHold
	noN    bool                                      // it does not use n
	zero   bool                                      // n = 0 is valid
}

func (r row) do(ctx context.Context, v victim) error {
	if r.sem != nil {
		return r.sem(ctx, v)
	}
	return r.lim(ctx, v)
}

func called(context.Context) error { panic("f was called") }

// zero is a row for a method of the zero Lease and of a nil pointer.
func zero(want any, do func(l *semaphore.Lease) any) row {
	return row{always: "nil pointer", noCtx: true, sem: func(context.Context, victim) error { return redistest.Zero(want, do) }}
}

// same is a row for a function with the same result for all victims.
func same(always string, do func(v victim) any) row {
	return row{always: always, noCtx: true, sem: func(_ context.Context, v victim) error { return fmt.Errorf("%v", do(v)) }}
}

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"NewWeighted": same("negative size -9", func(victim) any {
		return redistest.Outcome(func() error { semaphore.NewWeighted(nil, "", math.MinInt64); return nil })
	}),
	"NewLimiter": same("made", func(victim) any { semaphore.NewLimiter(nil, "", semaphore.Limit(math.NaN()), -1); return "made" }),
	"Every":      same("true", func(victim) any { return semaphore.Every(math.MinInt64) == semaphore.Inf }), // see TestEvery

	"Weighted.Acquire":         {zero: true, noCtx: true, sem: func(ctx context.Context, v victim) error { return v.sem.Acquire(ctx, v.n) }},
	"Weighted.TryAcquire":      {zero: true, noCtx: true, sem: func(_ context.Context, v victim) error { v.sem.TryAcquire(v.n); return nil }},
	"Weighted.Release":         {always: "release", zero: true, noCtx: true, sem: func(_ context.Context, v victim) error { v.sem.Release(v.n); return nil }},
	"Weighted.AcquireLease":    {sem: func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.sem.AcquireLease(ctx, v.n)) }},
	"Weighted.TryAcquireLease": {sem: func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.sem.TryAcquireLease(ctx, v.n)) }},
	"Weighted.AcquireChan": {sem: func(ctx context.Context, v victim) error {
		r := <-v.sem.AcquireChan(ctx, v.n)
		return redistest.ErrorOf(r.Lease, r.Err)
	}},
	"Weighted.Do":     {sem: func(ctx context.Context, v victim) error { return v.sem.Do(ctx, v.n, called) }},
	"Weighted.Resize": {zero: true, noTTL: true, sem: func(ctx context.Context, v victim) error { return v.sem.Resize(ctx, v.n) }},

	"Weighted.Inspect": {noTTL: true, noN: true, sem: func(ctx context.Context, v victim) error { _, err := v.sem.Inspect(ctx); return err }},
	"Owner.String":     same("host, pid 7", func(victim) any { return semaphore.Owner{Host: "host", PID: 7} }),

	"Lease.Release":   zero(semaphore.ErrLost, func(l *semaphore.Lease) any { return l.Release() }),
	"Lease.Err":       zero(semaphore.ErrLost, func(l *semaphore.Lease) any { return l.Err() }),
	"Lease.Remaining": zero(time.Duration(0), func(l *semaphore.Lease) any { return l.Remaining() }),
	"Lease.Done":      zero("{} false", func(l *semaphore.Lease) any { x, ok := <-l.Done(); return fmt.Sprint(x, ok) }),
	"Lease.Contended": zero(false, func(l *semaphore.Lease) any {
		select {
		case <-l.Contended():
			return true
		default:
			return false
		}
	}),
	"Lease.Context": zero(semaphore.ErrLost, func(l *semaphore.Lease) any {
		ctx, stop := l.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
	"Lease.Fence": zero(int64(0), func(l *semaphore.Lease) any { return l.Fence() }),

	"Limiter.Limit":         same("0", func(victim) any { return new(semaphore.Limiter).Limit() }),
	"Limiter.Burst":         same("0", func(victim) any { return new(semaphore.Limiter).Burst() }),
	"Limiter.Allow":         {noCtx: true, noN: true, lim: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.Allow()) }},
	"Limiter.AllowN":        {noCtx: true, lim: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.AllowN(int(v.n))) }},
	"Limiter.AllowContext":  {noN: true, lim: func(ctx context.Context, v victim) error { _, err := v.lim.AllowContext(ctx); return err }},
	"Limiter.AllowNContext": {lim: func(ctx context.Context, v victim) error { _, err := v.lim.AllowNContext(ctx, int(v.n)); return err }},
	"Limiter.Wait":          {noN: true, lim: func(ctx context.Context, v victim) error { return v.lim.Wait(ctx) }},
	"Limiter.WaitN":         {lim: func(ctx context.Context, v victim) error { return v.lim.WaitN(ctx, int(v.n)) }},
	"Limiter.Inspect":       {noN: true, lim: func(ctx context.Context, v victim) error { _, err := v.lim.Inspect(ctx); return err }},
	"Limiter.WaitChan":      {noN: true, lim: func(ctx context.Context, v victim) error { return <-v.lim.WaitChan(ctx) }},
}

func TestBadInputCoversAllFunctions(t *testing.T) { redistest.CoversExported(t, ".", badInput) }

// TestBadInput calls every exported function with bad input. Each call describes the error, writes
// nothing, and ends no hold.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client, ctx := s.Client(t), t.Context()
	types := s.PutTypes(t)
	one := semaphore.NewWeighted(client, "held", 3)
	one.TTL = time.Hour // no renewals
	held := acquire(t, one, 2)
	misuse := redistest.NewMisuse(t, s, "")
	rdb := misuse.Silent

	sized := func(n int64) victim { return victim{semaphore.NewWeighted(rdb, "key", n), nil, 1} }
	limited := func(r semaphore.Limit, burst int) victim {
		return victim{nil, semaphore.NewLimiter(rdb, "key", r, burst), 1}
	}
	numbered := func(n int64) victim {
		return victim{semaphore.NewWeighted(rdb, "key", 10), semaphore.NewLimiter(rdb, "key", semaphore.Inf, 10), n}
	}
	type bad struct {
		victim
		want string
	}
	all := map[string]bad{
		"no key":              {victimOf(rdb, ""), "the key is empty"},
		"a reserved key":      {victimOf(rdb, "baton:{key}:queue"), "library's own"},
		"a value without New": {victim{new(semaphore.Weighted), new(semaphore.Limiter), 1}, "not made by New"},
		"a huge size":         {sized(1<<52 + 1), "invalid size 4503599627370497:"},
		"a negative limit":    {limited(-5e-324, 1), "invalid limit -5e-324"},
		"a limit of -Inf":     {limited(semaphore.Limit(math.Inf(-1)), 1), "invalid limit -Inf"},
		"a limit of NaN":      {limited(semaphore.Limit(math.NaN()), 1), "invalid limit NaN"},
		"a negative burst":    {limited(1, math.MinInt), "invalid burst -9"},
		"a huge burst":        {limited(1, 1<<52+1), "invalid burst 4503599627370497"},
	}
	for what, rdb := range redistest.NilClients() {
		all[what] = bad{victimOf(rdb, "key"), "client is nil"}
	}
	for what, key := range types {
		all[what] = bad{victimOf(client, key), "WRONGTYPE"}
	}
	times := map[string]bad{
		"no TTL":                    {timed(rdb, 0, 0), "TTL 0s"},
		"the minimum TTL":           {timed(rdb, math.MinInt64, 0), "TTL -2562047h"},
		"a TTL of 1.5 ms":           {timed(rdb, 1500*time.Microsecond, 0), "TTL 1.5ms"},
		"a negative MaxHold":        {timed(rdb, ample, -1), "MaxHold -1ns"},
		"negative Replicas":         {timed(rdb, ample, 0).withReplicas(-2, 0), "Replicas is negative: -2"},
		"a negative ReplicaTimeout": {timed(rdb, ample, 0).withReplicas(1, -1), "ReplicaTimeout -1ns"},
	}
	counts := map[string]bad{}
	zero := map[string]bad{"n = 0": {numbered(0), "0"}}
	for _, n := range []int64{-1, math.MinInt64} {
		counts[fmt.Sprint("n = ", n)] = bad{numbered(n), fmt.Sprint(n)}
	}
	check := func(name string, r row, rows map[string]bad) {
		t.Helper()
		for what, bad := range rows {
			do := func() error { return r.do(ctx, bad.victim) }
			switch {
			case r.sem != nil && bad.sem == nil, r.lim != nil && bad.lim == nil:
			case r.always != "":
				misuse.ErrorContains(name+" of "+what, r.always, do)
			default:
				misuse.Refuses(name+" of "+what, bad.want, do)
			}
		}
	}
	good := victimOf(rdb, "key")
	for name, r := range badInput {
		check(name, r, all)
		if !r.noTTL {
			check(name, r, times)
		}
		if !r.noN {
			check(name, r, counts)
		}
		if !r.noN && !r.zero {
			check(name, r, zero)
		}
		if !r.noCtx {
			misuse.Contexts(name, func(ctx context.Context) error { return r.do(ctx, good) })
		}
		if r.lim != nil && !r.noCtx && strings.Contains(name, "Wait") { // without a limit it sends nothing
			misuse.Contexts(name+" without a limit", func(ctx context.Context) error { return r.do(ctx, numbered(1)) })
		}
	}
	// Acquire returns ctx.Err(), without the name of the library and the cause.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for what, ctx := range map[string]context.Context{"canceled": ended, "nil": nil} {
		for _, n := range []int64{0, 1} {
			misuse.ErrorContains("Weighted.Acquire with a ctx that is "+what, what, func() error { return good.sem.Acquire(ctx, n) })
		}
	}
	misuse.ErrorContains("Weighted.Do of a nil function", "nil function", func() error { return good.sem.Do(ctx, 1, nil) })
	misuse.ErrorContains("Weighted.Release of a lease's permits", "more than held", func() error { one.Release(1); return nil })

	misuse.Unchanged()
	if err := held.Err(); err != nil {
		t.Errorf("a hold has ended: %v", err)
	}
	copied := *held
	release(t, &copied)
	if err := held.Release(); !errors.Is(err, semaphore.ErrReleased) {
		t.Errorf("Release after the release of a copy returned %v", err)
	}
	release(t, acquire(t, one, 3)) // all permits
	for _, n := range []int64{4, 1<<52 + 1} {
		if _, err := one.AcquireLease(ctx, n); !errors.Is(err, semaphore.ErrExceedsSize) {
			t.Errorf("%d of 3: %v", n, err)
		}
	}
}
