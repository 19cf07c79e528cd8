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

// A row calls one exported function.
type row struct {
	do     func(ctx context.Context, v victim) error
	always string // expected text if it does not depend on the victim
	noCtx  bool   // it has no ctx, or is Acquire
	noTTL  bool   // it does not use TTL and MaxHold
	noN    bool   // it does not use n
	zero   bool   // n = 0 is valid
}

func called(context.Context) error { panic("f was called") }

// zero is a row for a method of the zero Lease and of a nil pointer.
func zero(want any, do func(l *semaphore.Lease) any) row {
	return row{always: "nil pointer", noCtx: true, do: func(context.Context, victim) error { return redistest.Zero(want, do) }}
}

// same is a row for a function with the same result for all victims.
func same(always string, do func() any) row {
	return row{always: always, noCtx: true, do: func(context.Context, victim) error { return fmt.Errorf("%v", do()) }}
}

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"NewWeighted":  same("negative size -9", func() any { return panics(func() { semaphore.NewWeighted(nil, "", math.MinInt64) }) }),
	"NewLimiter":   same("-1", func() any { return semaphore.NewLimiter(nil, "", semaphore.Limit(math.NaN()), -1).Burst() }),
	"Every":        same("true", func() any { return semaphore.Every(math.MinInt64) == semaphore.Inf }), // see TestEvery
	"Owner.String": same("host, pid 7", func() any { return semaphore.Owner{Host: "host", PID: 7} }),

	"Weighted.Acquire":         {zero: true, noCtx: true, do: func(ctx context.Context, v victim) error { return v.sem.Acquire(ctx, v.n) }},
	"Weighted.TryAcquire":      {zero: true, noCtx: true, do: func(_ context.Context, v victim) error { v.sem.TryAcquire(v.n); return nil }},
	"Weighted.Release":         {always: "release", zero: true, noCtx: true, do: func(_ context.Context, v victim) error { v.sem.Release(v.n); return nil }},
	"Weighted.AcquireLease":    {do: func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.sem.AcquireLease(ctx, v.n)) }},
	"Weighted.TryAcquireLease": {do: func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.sem.TryAcquireLease(ctx, v.n)) }},
	"Weighted.AcquireChan": {do: func(ctx context.Context, v victim) error {
		r := <-v.sem.AcquireChan(ctx, v.n)
		return redistest.ErrorOf(r.Lease, r.Err)
	}},
	"Weighted.Do":      {do: func(ctx context.Context, v victim) error { return v.sem.Do(ctx, v.n, called) }},
	"Weighted.Resize":  {zero: true, noTTL: true, do: func(ctx context.Context, v victim) error { return v.sem.Resize(ctx, v.n) }},
	"Weighted.Inspect": {noTTL: true, noN: true, do: func(ctx context.Context, v victim) error { _, err := v.sem.Inspect(ctx); return err }},

	"Lease.Release":   zero(semaphore.ErrLost, func(l *semaphore.Lease) any { return l.Release() }),
	"Lease.Err":       zero(semaphore.ErrLost, func(l *semaphore.Lease) any { return l.Err() }),
	"Lease.Remaining": zero(time.Duration(0), func(l *semaphore.Lease) any { return l.Remaining() }),
	"Lease.Done":      zero("{} false", func(l *semaphore.Lease) any { x, ok := <-l.Done(); return fmt.Sprint(x, ok) }),
	"Lease.Fence":     zero(int64(0), func(l *semaphore.Lease) any { return l.Fence() }),
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

	"Limiter.Limit":         same("0", func() any { return new(semaphore.Limiter).Limit() }),
	"Limiter.Burst":         same("0", func() any { return new(semaphore.Limiter).Burst() }),
	"Limiter.Allow":         {noCtx: true, noN: true, do: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.Allow()) }},
	"Limiter.AllowN":        {noCtx: true, do: func(_ context.Context, v victim) error { return fmt.Errorf("%t", v.lim.AllowN(int(v.n))) }},
	"Limiter.AllowContext":  {noN: true, do: func(ctx context.Context, v victim) error { _, err := v.lim.AllowContext(ctx); return err }},
	"Limiter.AllowNContext": {do: func(ctx context.Context, v victim) error { _, err := v.lim.AllowNContext(ctx, int(v.n)); return err }},
	"Limiter.Wait":          {noN: true, do: func(ctx context.Context, v victim) error { return v.lim.Wait(ctx) }},
	"Limiter.WaitN":         {do: func(ctx context.Context, v victim) error { return v.lim.WaitN(ctx, int(v.n)) }},
	"Limiter.Inspect":       {noN: true, do: func(ctx context.Context, v victim) error { _, err := v.lim.Inspect(ctx); return err }},
	"Limiter.WaitChan":      {noN: true, do: func(ctx context.Context, v victim) error { return <-v.lim.WaitChan(ctx) }},
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

	// A nil Weighted or Limiter means that the error does not concern it.
	weighted := func(change func(s *semaphore.Weighted)) victim {
		v := victimOf(rdb, "key")
		change(v.sem)
		return victim{sem: v.sem, n: 1}
	}
	limited := func(r semaphore.Limit, burst int) victim {
		return victim{lim: semaphore.NewLimiter(rdb, "key", r, burst), n: 1}
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
		"a huge size":         {victim{sem: semaphore.NewWeighted(rdb, "key", 1<<52+1), n: 1}, "invalid size 4503599627370497:"},
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
		"no TTL":                    {weighted(func(s *semaphore.Weighted) { s.TTL = 0 }), "TTL 0s"},
		"the minimum TTL":           {weighted(func(s *semaphore.Weighted) { s.TTL = math.MinInt64 }), "TTL -2562047h"},
		"a TTL of 1.5 ms":           {weighted(func(s *semaphore.Weighted) { s.TTL = 1500 * time.Microsecond }), "TTL 1.5ms"},
		"a negative MaxHold":        {weighted(func(s *semaphore.Weighted) { s.MaxHold = -1 }), "MaxHold -1ns"},
		"negative Replicas":         {weighted(func(s *semaphore.Weighted) { s.Replicas = -2 }), "Replicas is negative: -2"},
		"a negative ReplicaTimeout": {weighted(func(s *semaphore.Weighted) { s.Replicas, s.ReplicaTimeout = 1, -1 }), "ReplicaTimeout -1ns"},
	}
	counts := map[string]bad{"n = -1": {numbered(-1), "-1"}, "n = -1<<63": {numbered(math.MinInt64), fmt.Sprint(math.MinInt64)}}
	zero := map[string]bad{"n = 0": {numbered(0), "0"}}
	check := func(name string, r row, rows map[string]bad) {
		t.Helper()
		for what, bad := range rows {
			do := func() error { return r.do(ctx, bad.victim) }
			switch {
			case bad.sem == nil && strings.HasPrefix(name, "Weighted"), bad.lim == nil && strings.HasPrefix(name, "Limiter"):
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
		if strings.HasPrefix(name, "Limiter.Wait") { // without a limit it sends nothing
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
