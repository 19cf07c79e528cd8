package main

import (
	"context"
	"fmt"
)

// mem is a row: many wait for one key in one process, and what memory that takes.
type mem struct {
	name    string
	waiters int
	results map[string]*memResult
}

type memResult struct{ bytes, goroutines, seconds series }

func newMem(name, shape string) (row, error) {
	n, err := size(shape, 100_000)
	return &mem{name, n, map[string]*memResult{}}, err
}

// ways are the ways to wait; the first is the yardstick.
var ways = []string{"receive", "LockContext", "LockChan"}

// round has another process for each way, so that none finds memory that
// another has left to it. The lock is held by this one.
func (r *mem) round(ctx context.Context, b *bench, _ int) error {
	for _, way := range ways {
		if err := b.missed(ctx, r.name, way, r.measure(ctx, b, way)); err != nil {
			return err
		}
	}
	return nil
}

func (r *mem) measure(ctx context.Context, b *bench, way string) error {
	c := newBaton(b.server.Addr(), 0)
	defer c.close()
	j := job{Task: "crowd", System: way, Key: "mem", Goroutines: r.waiters}
	return b.staff(ctx, 1, j, func(f *fleet, _ *sharedMem) error {
		h := c.handle(j.Key)
		if err := h.lock(ctx); err != nil {
			return err
		}
		t, err := f.run()
		if err != nil {
			return err
		}
		if r.results[way] == nil {
			r.results[way] = new(memResult)
		}
		x := r.results[way]
		x.bytes = append(x.bytes, t.Figures["bytes"])
		x.goroutines = append(x.goroutines, t.Figures["goroutines"])
		x.seconds = append(x.seconds, t.Figures["seconds"])
		return h.unlock()
	})
}

func (r *mem) report(*bench) []table {
	t := table{
		title: fmt.Sprintf("%s: %d wait for one key in one process; heap and stacks in use after a collection", r.name, r.waiters),
		head:  []string{"way to wait", "bytes a waiter", "besides the caller's goroutine", "goroutines a waiter", "seconds until all wait"},
	}
	names := map[string]string{"receive": "a plain channel receive, in goroutines", "LockContext": "LockContext, in goroutines", "LockChan": "LockChan, no goroutine"}
	for _, way := range ways {
		if x := r.results[way]; x != nil {
			t.add(names[way], x.bytes.cell(), r.besides(way).cell(), x.goroutines.cell(), x.seconds.cell())
		}
	}
	return []table{t}
}

// besides is what a waiter takes beyond the caller's own goroutine. Who waits by
// channel has none.
func (r *mem) besides(way string) (s series) {
	x, plain := r.results[way], r.results["receive"]
	if x == nil || plain == nil {
		return nil
	}
	for i := range x.bytes {
		caller := x.goroutines[i] * plain.bytes[i]
		s = append(s, max(x.bytes[i]-caller, 0))
	}
	return s
}

func (r *mem) targets(*bench) []target {
	return []target{
		{row: r.name, what: "bytes a waiter by LockContext, besides the caller's goroutine", got: r.besides("LockContext"), limit: 600},
		{row: r.name, what: "bytes a waiter by LockChan", got: r.besides("LockChan"), limit: 600},
	}
}
