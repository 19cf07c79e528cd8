package waitgroup_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A victim is a group for the calls of the table, and the delta to add.
type victim struct {
	wg    *waitgroup.WaitGroup
	delta int
}

// A row calls one exported function.
type row struct {
	do         func(ctx context.Context, v victim) error
	always     string // expected text if it does not depend on the victim
	noCtx      bool   // it has no ctx
	ttl, delta bool   // it uses the TTL, the delta
}

// zero is a row for a method of the zero Task, which is lost, and of a nil pointer.
func zero(do func(task *waitgroup.Task) error) row {
	return row{always: "nil pointer", noCtx: true, do: func(context.Context, victim) error {
		return redistest.Zero(waitgroup.ErrLost, func(task *waitgroup.Task) any { return do(task) })
	}}
}

// same is a row for a function with the same result for all victims.
func same(always string, do func() any) row {
	return row{always: always, noCtx: true, do: func(context.Context, victim) error { return fmt.Errorf("%v", do()) }}
}

func called(context.Context) error { panic("f was called") }

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"New":                  same("10s", func() any { return waitgroup.New(nil, "").TTL }),
	"Status.Outstanding":   same("0", func() any { return waitgroup.Status{}.Outstanding() }),
	"Owner.String":         same("host, pid 7", func() any { return waitgroup.Owner{Host: "host", PID: 7} }),
	"AbandonedError.Error": same("tasks abandoned: 0", func() any { return new(waitgroup.AbandonedError) }),
	"AbandonedError.Is":    same("false", func() any { return new(waitgroup.AbandonedError).Is(nil) }),

	"WaitGroup.Add":         {noCtx: true, delta: true, do: func(_ context.Context, v victim) error { v.wg.Add(v.delta); return nil }},
	"WaitGroup.Done":        {noCtx: true, do: func(_ context.Context, v victim) error { v.wg.Done(); return nil }},
	"WaitGroup.AddContext":  {delta: true, do: func(ctx context.Context, v victim) error { return v.wg.AddContext(ctx, v.delta) }},
	"WaitGroup.DoneContext": {do: func(ctx context.Context, v victim) error { return v.wg.DoneContext(ctx) }},
	"WaitGroup.Wait":        {noCtx: true, do: func(_ context.Context, v victim) error { v.wg.Wait(); return nil }},
	"WaitGroup.WaitContext": {do: func(ctx context.Context, v victim) error { return v.wg.WaitContext(ctx) }},
	"WaitGroup.WaitChan":    {do: func(ctx context.Context, v victim) error { return <-v.wg.WaitChan(ctx) }},
	"WaitGroup.Go":          {noCtx: true, ttl: true, do: func(_ context.Context, v victim) error { v.wg.Go(func() { panic("f was called") }); return nil }},
	"WaitGroup.Do":          {ttl: true, do: func(ctx context.Context, v victim) error { return v.wg.Do(ctx, called) }},
	"WaitGroup.Claim":       {ttl: true, do: func(ctx context.Context, v victim) error { return redistest.ErrorOf(v.wg.Claim(ctx)) }},
	"WaitGroup.Inspect":     {do: func(ctx context.Context, v victim) error { _, err := v.wg.Inspect(ctx); return err }},

	"Task.Done":    zero((*waitgroup.Task).Done),
	"Task.Abandon": zero((*waitgroup.Task).Abandon),
	"Task.Err":     zero((*waitgroup.Task).Err),
	"Task.Context": zero(func(task *waitgroup.Task) error {
		ctx, stop := task.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
}

func TestBadInputCoversAllFunctions(t *testing.T) { redistest.CoversExported(t, ".", badInput) }

// TestBadInput calls every exported function with bad input. Each call describes the error, writes
// nothing, and changes no count.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client, ctx := s.Client(t), t.Context()
	types := s.PutTypes(t)
	s.Do(t, "SET", "string", "x")
	s.Do(t, "ZADD", "state", "0", "generation 1 count x abandoned 0 since 1")
	counts := waitgroup.New(client, "key")
	counts.TTL = time.Hour // no renewals
	must(counts.AddContext(ctx, 2))
	task := claim(t, counts)
	misuse := redistest.NewMisuse(t, s, "")
	rdb := misuse.Silent

	of := func(rdb redis.UniversalClient, key string) victim { return victim{waitgroup.New(rdb, key), 1} }
	type bad struct {
		victim
		want string
	}
	all := map[string]bad{
		"no key":              {of(rdb, ""), "the key is empty"},
		"a reserved key":      {of(rdb, "baton:{key}:ops:x"), "library's own"},
		"a value without New": {victim{new(waitgroup.WaitGroup), 1}, "not made by New"},
		"a string":            {of(client, "string"), "WRONGTYPE"},
		"a garbled state":     {of(client, "state"), "not a wait group"},
	}
	for what, rdb := range redistest.NilClients() {
		all[what] = bad{of(rdb, "key"), "client is nil"}
	}
	for what, key := range types {
		all[what] = bad{of(client, key), "WRONGTYPE"}
	}
	all["a sorted set"] = bad{of(client, types["a sorted set"]), "not a wait group"}
	times, deltas := map[string]bad{}, map[string]bad{}
	for _, ttl := range []time.Duration{0, -1, math.MinInt64, 1500 * time.Microsecond, 12*time.Hour + time.Millisecond, math.MaxInt64} {
		v := of(rdb, "key")
		v.wg.TTL = ttl
		times[fmt.Sprint("a TTL of ", ttl)] = bad{v, "TTL "}
	}
	for _, delta := range []int{math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt, math.MinInt} {
		deltas[fmt.Sprint("a delta of ", delta)] = bad{victim{waitgroup.New(rdb, "key"), delta}, fmt.Sprint(delta)}
	}
	check := func(name string, r row, rows map[string]bad) {
		t.Helper()
		for what, bad := range rows {
			if do := func() error { return r.do(ctx, bad.victim) }; r.always != "" {
				misuse.ErrorContains(name+" of "+what, r.always, do)
			} else {
				misuse.Refuses(name+" of "+what, bad.want, do)
			}
		}
	}
	good := of(rdb, "key")
	for name, r := range badInput {
		check(name, r, all)
		if r.ttl {
			check(name, r, times)
		}
		if r.delta {
			check(name, r, deltas)
		}
		if !r.noCtx {
			misuse.Contexts(name, func(ctx context.Context) error { return r.do(ctx, good) })
		}
	}
	misuse.ErrorContains("WaitGroup.Go of a nil function", "nil function", func() error { good.wg.Go(nil); return nil })
	misuse.ErrorContains("WaitGroup.Do of a nil function", "nil function", func() error { return good.wg.Do(ctx, nil) })
	misuse.Unchanged()

	is(t, "a delta below -count", counts.AddContext(ctx, -2), waitgroup.ErrNegativeCounter)
	holds(t, "after all calls", client, 1, 1)
	copied := *task
	must(copied.Done())
	is(t, "Done after Done of a copy", task.Done(), waitgroup.ErrDone)
	must(counts.DoneContext(ctx))
	must(counts.WaitContext(ctx))
	is(t, "an extra Done", counts.DoneContext(ctx), waitgroup.ErrNegativeCounter)
}
