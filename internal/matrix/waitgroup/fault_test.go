package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultLost loses each command or its reply, so that the command is repeated. None counts twice.
func TestFaultLost(t *testing.T) {
	t.Parallel()
	for name, f := range kit.Losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := kit.StartWithProxy(t)
			rdb, ctx := s.Client(t), t.Context()
			must(waitgroup.New(rdb, "other").Do(ctx, func(context.Context) error { return nil })) // loads the scripts
			waitgroup.New(rdb, "other").Wait()
			wg, there := waitgroup.New(p.Client(t, kit.Impatient), "key"), waitgroup.New(rdb, "key")
			steps := int64(0)
			step := func(desc string, do func(), count, tasks int64) {
				t.Helper()
				f.Lose(p)
				do()
				steps++
				checkCounts(t, desc, rdb, count, tasks)
			}
			var task *waitgroup.Task
			step("Add", func() { wg.Add(3) }, 3, 0)
			step("Done", func() { wg.Done() }, 2, 0)
			step("Claim", func() { task = claim(t, wg) }, 1, 1)
			step("Done of a task", func() { must(task.Done()) }, 1, 0)
			step("Do", func() {
				must(wg.Do(ctx, func(context.Context) error { checkCounts(t, "in a task", rdb, 1, 1); return nil }))
			}, 1, 0)
			step("Abandon", func() { must(claim(t, wg).Abandon()) }, 0, 0)
			step("a wait for an empty group", func() { lost(t, "Wait", wg.WaitContext(ctx), 1) }, 0, 0)
			step("a refused Done", func() { is(t, "Done", wg.DoneContext(ctx), waitgroup.ErrNegativeCounter) }, 0, 0)
			step("a refused Claim", func() { _, err := wg.Claim(ctx); is(t, "Claim", err, waitgroup.ErrNothingToClaim) }, 0, 0)
			there.Add(1)
			c := wg.WaitChan(ctx)
			listening(t, rdb, 1)
			step("the last Done", func() { wg.Done() }, 0, 0)
			expectNil(t, receiveResult(t, "the wait", c, time.Now(), poll+kit.Silence))
			if fired := f.Count(p.Faults()); fired != steps {
				t.Errorf("%d of %d commands or replies were lost", fired, steps)
			}
		})
	}
}

// TestFaultCancelled cancels ctx while the reply is delayed. The operation is undone, and a late copy of
// the request has no effect.
func TestFaultCancelled(t *testing.T) {
	t.Parallel()
	s, p := kit.StartWithProxy(t)
	rdb := s.Client(t)
	wg, there := waitgroup.New(p.Client(t), "key"), waitgroup.New(rdb, "key")
	there.Add(2)
	const within = 250 * time.Millisecond
	for desc, do := range map[string]func(ctx context.Context) error{
		"Add":   func(ctx context.Context) error { return wg.AddContext(ctx, 5) },
		"Done":  wg.DoneContext,
		"Claim": func(ctx context.Context) error { _, err := wg.Claim(ctx); return err },
		"Do": func(ctx context.Context) error {
			return wg.Do(ctx, func(context.Context) error { t.Error("the function runs"); return nil })
		},
	} {
		for name, hold := range map[string]func(on bool){"request": p.BlackholeRequests, "reply": p.BlackholeReplies} {
			ctx, cancel := context.WithTimeout(t.Context(), within) // long enough to send the request
			hold(true)
			start := time.Now()
			err := do(ctx)
			took := time.Since(start)
			hold(false)
			cancel()
			is(t, desc, err, context.DeadlineExceeded)
			if took > within+leeway+redistest.Allowance(start) {
				t.Errorf("%s, %s: returned after %v", desc, name, took)
			}
			// The request may come through now. It is undone, before or after that.
			redistest.Eventually(t, 10*time.Second, func() bool {
				ops := operations(t, rdb)
				count, tasks := kit.Outstanding(t, rdb)
				return strings.Contains(ops, "-1 undo") && count == 2 && tasks == 0
			}, "%s, %s: the operation is undone", desc, name)
			must(rdb.Del(t.Context(), operationKeys(t, rdb)...).Err())
			must(wg.AddContext(t.Context(), 1)) // the session still works
			must(wg.DoneContext(t.Context()))
			must(rdb.Del(t.Context(), operationKeys(t, rdb)...).Err())
		}
	}
	there.Add(-2)
	expectNil(t, there.WaitContext(t.Context()))
}

func operationKeys(t *testing.T, rdb *redis.Client) []string {
	t.Helper()
	return append(rdb.Keys(t.Context(), "baton:{key}:ops:*").Val(), "none")
}

// operations returns the records of operations on "key".
func operations(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	all := ""
	for _, key := range operationKeys(t, rdb) {
		all += fmt.Sprint(rdb.HGetAll(t.Context(), key).Val())
	}
	return all
}

// TestFaultMessages drops, delays and duplicates messages, and cuts the subscription. No wait is longer
// than the poll bound, and none ends too early.
func TestFaultMessages(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]struct {
		inject func(*redistest.Proxy)
		bound  time.Duration
	}{
		"Dropped":    {func(p *redistest.Proxy) { p.DropMessages(1) }, poll},
		"Delayed":    {func(p *redistest.Proxy) { p.DelayMessages(400 * time.Millisecond) }, poll},
		"Duplicated": {func(p *redistest.Proxy) { p.DuplicateMessages(true) }, 0},
		"Cut":        {func(p *redistest.Proxy) { p.DropSubscribers() }, poll},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := kit.StartWithProxy(t)
			rdb := s.Client(t)
			here, there := waitgroup.New(rdb, "key"), waitgroup.New(p.Client(t), "key")
			for round := range 3 {
				here.Add(1)
				c := there.WaitChan(t.Context())
				listening(t, rdb, 1)
				expectPending(t, "the wait", c, 500*time.Millisecond) // also while late messages of the last generation arrive
				f.inject(p)
				start := time.Now()
				here.Done()
				expectNil(t, receiveResult(t, fmt.Sprint("round ", round), c, start, f.bound))
			}
		})
	}
}

// TestFaultDown: waits and operations survive an outage, and the loss of the group is reported.
func TestFaultDown(t *testing.T) {
	t.Parallel()
	s, p := kit.StartWithProxy(t)
	rdb := s.Client(t)
	client := p.Client(t, kit.Impatient)
	wg := waitgroup.New(client, "key")
	wg.Add(2)
	task := claim(t, wg)
	c := wg.WaitChan(t.Context())
	listening(t, rdb, 1)

	p.Refuse(true)
	p.CloseAll()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // an attempt fails within it, even on a busy machine
	defer cancel()
	err := wg.DoneContext(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Redis:") {
		t.Errorf("an outage: %v", err)
	}
	done := make(chan error, 2)
	go func() { done <- wg.DoneContext(t.Context()) }()
	go func() { done <- task.Done() }()
	expectPending(t, "an outage", done, 300*time.Millisecond)
	p.Refuse(false)
	start := time.Now()
	for range 2 {
		expectNil(t, receiveResult(t, "Done", done, start, 2*poll))
	}
	expectNil(t, receiveResult(t, "the wait", c, start, 2*poll))

	wg.Add(2)
	task = claim(t, wg)
	c = wg.WaitChan(t.Context())
	listening(t, rdb, 1)
	expectPending(t, "the wait", c, 100*time.Millisecond)
	must(rdb.FlushAll(t.Context()).Err())
	start = time.Now()
	is(t, "the wait for a lost group", receiveResult(t, "the wait for a lost group", c, start, poll), waitgroup.ErrLost)
	is(t, "its task", task.Done(), waitgroup.ErrLost)
	is(t, "its count", wg.DoneContext(t.Context()), waitgroup.ErrNegativeCounter)
	if err := wg.WaitContext(t.Context()); err != nil {
		t.Errorf("a wait for a missing group: %v", err)
	}
}
