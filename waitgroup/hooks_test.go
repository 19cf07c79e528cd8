package waitgroup_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// Each request for a single caller has the values of the caller's ctx, and so has each retry.
func TestRequestsOfASingleCallerCarryItsValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tenants redistest.Tenants
		rdb := bubbleClient(t)
		tenants.AddToFailing(rdb)
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
