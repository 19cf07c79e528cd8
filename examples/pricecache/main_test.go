package main

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// TestStampede: four Flights request two products at once, and the shop is called once per product.
func TestStampede(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := new(shop)
		var wg sync.WaitGroup
		for range 4 { // like processes, each with a Flight of its own
			p := open(rdb, s)
			p.flight.KeepNotFound = time.Hour // so that it does not expire on a slow machine
			for range 50 {
				wg.Go(func() {
					if cents, err := p.get(t.Context(), "tea"); cents != 499 || err != nil {
						t.Errorf("tea: %d, %v", cents, err)
					}
				})
				wg.Go(func() {
					if cents, err := p.get(t.Context(), "coal"); cents != 0 || !errors.Is(err, errUnknown) {
						t.Errorf("coal: %d, %v", cents, err)
					}
				})
			}
		}
		wg.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Errorf("the shop was called %d times", n)
		}
	})
}
