package semaphore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
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
			s := semaphore.NewWeighted(rdb, name, 2)
			l := semaphore.NewLimiter(rdb, name+" limit", 1e6, 1000)
			ctx, cancel := context.WithCancel(tenants.Context(t.Context(), name))
			defer cancel()
			for range 20 {
				lease, err := s.AcquireLease(ctx, 1)
				must(err)
				must(lease.Release())
				must(l.Wait(ctx))
			}
		})
	}
	wg.Wait()
	tenants.Check(t)
}
