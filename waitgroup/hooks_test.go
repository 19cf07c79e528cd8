package waitgroup_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A request has the ctx values of its own caller or none, and never a stranger's.
func TestRequestCarriesTheValuesOfItsCallersContext(t *testing.T) {
	var tenants redistest.Tenants
	rdb := redistest.Start(t).Client(t)
	rdb.AddHook(&tenants)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := string(rune('A' + i))
			g := waitgroup.New(rdb, name)
			ctx, cancel := context.WithCancel(tenants.Context(t.Context(), name))
			defer cancel()
			for range 20 {
				must(g.AddContext(ctx, 1))
				must(g.Do(ctx, func(context.Context) error { return nil }))
				must(g.DoneContext(ctx))
				must(g.WaitContext(ctx))
			}
		})
	}
	wg.Wait()
	tenants.Check(t)
}

// Each operation of a caller that is alone has the values of its ctx, and so have its repetitions.
func TestEachRequestOfALoneCallerCarriesItsValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tenants redistest.Tenants
		rdb := bubbleClient(t)
		tenants.Alone(rdb)
		g, ctx := waitgroup.New(rdb, "key"), tenants.Context(t.Context(), "key")
		must(g.AddContext(ctx, 2))
		must(g.Do(ctx, func(context.Context) error { return nil }))
		must(g.DoneContext(ctx))
		task, err := g.Claim(ctx)
		must(err)
		must(task.Abandon())
		tenants.CheckAll(t)
	})
}
