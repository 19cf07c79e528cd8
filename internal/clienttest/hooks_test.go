package clienttest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A request has the ctx values of its own caller or none, never those of another caller.
func TestRequestCarriesTheValuesOfItsCallersContext(t *testing.T) {
	t.Parallel()
	var tenants redistest.Tenants
	s := redistest.Start(t)
	use := func(rdb redis.UniversalClient, tenant, name string) {
		ctx, cancel := context.WithCancel(tenants.Context(t.Context(), tenant))
		defer cancel()
		h := must(primitives[name](rdb, tenant+" "+name, redistest.Patience).hold(ctx))
		if h.release != nil {
			if err := h.release(); err != nil {
				t.Error(err)
			}
		}
	}
	shared, single := s.Client(t), s.Client(t) // only shared may combine requests of several callers
	tenants.AddTo(shared)
	tenants.AddTo(single)
	var wg sync.WaitGroup
	for i := range 16 {
		for name := range primitives {
			wg.Go(func() {
				for range 10 {
					use(shared, fmt.Sprintf("tenant %x", i), name)
				}
			})
		}
	}
	wg.Wait()
	before := tenants.Check(t)
	use(single, "single", "Mutex")
	if none := tenants.Check(t) - before; none > 0 {
		t.Errorf("%d requests of a single caller had no values", none)
	}
}
