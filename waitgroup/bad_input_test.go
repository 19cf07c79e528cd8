package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A victim is what a row of the table is called on, and the delta to add.
type victim struct {
	wg    *waitgroup.WaitGroup
	delta int
}

// A row is what is done with one exported function.
type row struct {
	do func(ctx context.Context, v victim) error
	// What it says, if it says the same of every victim; else it says what is wrong
	// with that. Of those that take no ctx, no ctx is wrong.
	always string
	noCtx  bool
	// Whether it has use for a TTL, or for a delta.
	ttl, delta bool
}

func joined(task *waitgroup.Task, err error) error {
	if (task == nil) == (err == nil) {
		return fmt.Errorf("both or neither of %v and %v", task, err)
	}
	return err
}

// outcome returns what f returns or panics with.
func outcome(f func() error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	return f()
}

// zero is a row of a method of the zero Task, which says what is wanted, and then of
// a nil one, which panics.
func zero(do func(task *waitgroup.Task) error) row {
	return row{always: "nil pointer", noCtx: true, do: func(context.Context, victim) error {
		var got error
		if outcome(func() error { got = do(new(waitgroup.Task)); return nil }); got != waitgroup.ErrLost {
			return fmt.Errorf("the zero Task says %v", got)
		}
		return outcome(func() error { return do(nil) })
	}}
}

// badInput has a row for every exported function of the package.
var badInput = map[string]row{
	"New": {always: "<nil>", noCtx: true, do: func(context.Context, victim) error { waitgroup.New(nil, ""); return nil }},

	"WaitGroup.Add":         {noCtx: true, delta: true, do: func(_ context.Context, v victim) error { v.wg.Add(v.delta); return nil }},
	"WaitGroup.Done":        {noCtx: true, do: func(_ context.Context, v victim) error { v.wg.Done(); return nil }},
	"WaitGroup.AddContext":  {delta: true, do: func(ctx context.Context, v victim) error { return v.wg.AddContext(ctx, v.delta) }},
	"WaitGroup.DoneContext": {do: func(ctx context.Context, v victim) error { return v.wg.DoneContext(ctx) }},
	"WaitGroup.Wait":        {noCtx: true, do: func(_ context.Context, v victim) error { v.wg.Wait(); return nil }},
	"WaitGroup.WaitContext": {do: func(ctx context.Context, v victim) error { return v.wg.WaitContext(ctx) }},
	"WaitGroup.WaitChan":    {do: func(ctx context.Context, v victim) error { return <-v.wg.WaitChan(ctx) }},
	"WaitGroup.Go":          {noCtx: true, ttl: true, do: func(_ context.Context, v victim) error { v.wg.Go(func() { panic("it runs") }); return nil }},
	"WaitGroup.GoContext": {ttl: true, do: func(ctx context.Context, v victim) error {
		return v.wg.GoContext(ctx, func(context.Context) error { panic("it runs") })
	}},
	"WaitGroup.Join": {ttl: true, do: func(ctx context.Context, v victim) error { return joined(v.wg.Join(ctx)) }},

	"WaitGroup.Inspect": {do: func(ctx context.Context, v victim) error { _, err := v.wg.Inspect(ctx); return err }},
	"Status.Left":       {always: "<nil>", noCtx: true, do: func(context.Context, victim) error { waitgroup.Status{}.Left(); return nil }},

	"Task.Done":    zero((*waitgroup.Task).Done),
	"Task.Abandon": zero((*waitgroup.Task).Abandon),
	"Task.Err":     zero((*waitgroup.Task).Err),
	"Task.Context": zero(func(task *waitgroup.Task) error {
		ctx, stop := task.Context(context.Background())
		defer stop()
		return context.Cause(ctx)
	}),
}

func TestBadInputIsWhole(t *testing.T) { redistest.Covers(t, ".", badInput) }

// TestBadInput calls every exported function on whatever cannot be used: it says
// what is wrong, writes nothing, and takes nothing from what is counted.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	asks, rdb := s.Client(t), s.Client(t) // rdb is to be asked for nothing
	var sent counted
	rdb.AddHook(&sent)
	ctx := t.Context()
	var client *redis.Client
	var cluster *redis.ClusterClient
	var noCtx context.Context
	ended, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("why it ended"))

	must(asks.RPush(ctx, "list", "x").Err())
	must(asks.Set(ctx, "string", "x", 0).Err())
	must(asks.SAdd(ctx, "set", "x").Err())
	must(asks.ZAdd(ctx, "zset", redis.Z{Member: "x"}).Err())
	must(asks.ZAdd(ctx, "state", redis.Z{Member: "round 1 count x abandoned 0 since 1"}).Err())
	must(asks.HSet(ctx, "hash", "x", "y").Err())
	must(asks.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []string{"x", "y"}}).Err())
	counts := waitgroup.New(asks, "key")
	counts.TTL = time.Hour // not renewed meanwhile
	must(counts.AddContext(ctx, 2))
	task := join(t, counts)
	all := func() (text string) {
		for _, key := range s.Keys(t) {
			text += fmt.Sprintf("%q: %q\n", key, s.Do(t, "DUMP", key))
		}
		return text
	}
	before := all()

	check := func(name string, r row, what string, ctx context.Context, v victim, want string) {
		t.Helper()
		if r.always != "" {
			want = r.always
		}
		err := outcome(func() error { return r.do(ctx, v) })
		text := fmt.Sprint(err)
		if !strings.Contains(text, want) || r.always == "" && ctx != nil && !strings.Contains(text, "baton: ") {
			t.Errorf("%s of %s: %v, and not %q", name, what, err, want)
		}
		if n := sent.Swap(0); n != 0 {
			t.Errorf("%s of %s: %d requests were sent", name, what, n)
		}
	}
	of := func(rdb redis.UniversalClient, key string) victim { return victim{waitgroup.New(rdb, key), 1} }
	for name, r := range badInput {
		for what, bad := range map[string]struct {
			victim
			want string
		}{
			"no key":                {of(rdb, ""), "the key is empty"},
			"a key of ours":         {of(rdb, "baton:{key}:operations:x"), "library's own"},
			"no client":             {of(nil, "key"), "client is nil"},
			"a nil client":          {of(client, "key"), "client is nil"},
			"a nil cluster":         {of(cluster, "key"), "client is nil"},
			"what New has not made": {victim{new(waitgroup.WaitGroup), 1}, "not made by New"},
			"a list":                {of(asks, "list"), "WRONGTYPE"},
			"a string":              {of(asks, "string"), "WRONGTYPE"},
			"a set":                 {of(asks, "set"), "WRONGTYPE"},
			"a stream":              {of(asks, "stream"), "WRONGTYPE"},
			"a hash":                {of(asks, "hash"), "WRONGTYPE"},
			"a sorted set":          {of(asks, "zset"), "not a wait group"},
			"a garbled state":       {of(asks, "state"), "not a wait group"},
		} {
			check(name, r, what, ctx, bad.victim, bad.want)
		}
		for _, ttl := range []time.Duration{0, -1, math.MinInt64, 1500 * time.Microsecond, 12*time.Hour + time.Millisecond, math.MaxInt64} {
			if v := of(rdb, "key"); r.ttl {
				v.wg.TTL = ttl
				check(name, r, fmt.Sprint("a TTL of ", ttl), ctx, v, "TTL ")
			}
		}
		for _, delta := range []int{math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt, math.MinInt} {
			if r.delta {
				check(name, r, fmt.Sprint("a delta of ", delta), ctx, victim{waitgroup.New(rdb, "key"), delta}, fmt.Sprint(delta))
			}
		}
		if !r.noCtx {
			check(name, r, "a ctx that has ended", ended, of(rdb, "key"), "why it ended")
			check(name, r, "a nil ctx", noCtx, of(rdb, "key"), "nil")
		}
	}
	good := of(rdb, "key")
	for name, do := range map[string]func() error{
		"WaitGroup.Go": func() error { good.wg.Go(nil); return nil }, "WaitGroup.GoContext": func() error { return good.wg.GoContext(ctx, nil) },
	} {
		check(name, row{do: func(context.Context, victim) error { return do() }}, "a nil function", noCtx, good, "nil function")
	}
	if after := all(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}

	is(t, "more than there is", counts.AddContext(ctx, -2), waitgroup.ErrNegative)
	holds(t, "after all that", asks, 1, 1)
	copied := *task
	must(copied.Done())
	is(t, "Done after that of a copy", task.Done(), waitgroup.ErrDone)
	must(counts.DoneContext(ctx))
	must(counts.WaitContext(ctx))
	is(t, "Done too often", counts.DoneContext(ctx), waitgroup.ErrNegative)
}

// counted is a hook that counts what a client sends.
type counted struct{ atomic.Int64 }

func (c *counted) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
