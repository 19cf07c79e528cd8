package semaphore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestRequestCarriesTheValuesOfItsCallersContext: its own or none, and never a stranger's.
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
				if err != nil {
					t.Error(err)
					return
				}
				if err := lease.Release(); err != nil {
					t.Error(err)
				}
				if err := l.Wait(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tenants.Check(t)
}
