package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A shop has clerks who use one till, one price list and two printers.
type shop struct {
	till     *mutex.Mutex
	prices   *mutex.RWMutex
	printers *semaphore.Weighted
	sales    atomic.Int64 // finished; each uses all three once
}

const clerks = 3

func newShop(rdb redis.UniversalClient, w *watch) *shop {
	s := &shop{till: mutex.New(rdb, "shop:till"), prices: mutex.NewRW(rdb, "shop:prices"), printers: semaphore.NewWeighted(rdb, "shop:printers", 2)}
	s.till.Trace, s.prices.Trace, s.printers.Trace = w.mutex("till"), w.mutex("prices"), w.semaphore("printers")
	return s
}

// open makes the clerks sell until ctx is done.
func (s *shop) open(ctx context.Context) {
	var wg sync.WaitGroup
	for range clerks {
		wg.Go(func() {
			for ctx.Err() == nil {
				if s.sell(ctx) == nil {
					s.sales.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// sell makes one sale, or none if ctx is done.
func (s *shop) sell(ctx context.Context) error {
	list, err := s.prices.RLockContext(ctx)
	if err != nil {
		return err
	}
	work(5 * time.Millisecond)
	if err := list.Unlock(); err != nil {
		return err
	}
	take := func(context.Context) error {
		work(10 * time.Millisecond)
		return nil
	}
	return errors.Join(s.till.Do(ctx, take), s.printers.Do(ctx, 1, take))
}

// work takes some time, d on average.
func work(d time.Duration) { time.Sleep(rand.N(2 * d)) }
