// Pricecache is a cache that survives a stampede: as a price expires, hundreds of requests in
// several processes want it at once, and the shop is asked once.
//
//	go run ./examples/pricecache
//
// It needs no Redis: it starts one in memory. REDIS_URL selects another server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

var errUnknown = errors.New("unknown product")

// prices keeps a price for a minute. For an hour after that it returns the old price while one
// process asks the shop. That a product is unknown is kept for a second.
type prices struct {
	flight *mutex.Flight
	shop   *shop
}

func open(rdb redis.UniversalClient, s *shop) *prices {
	f := mutex.NewFlight(rdb, "price:")
	f.Keep, f.Stale = time.Minute, time.Hour
	f.NotFound, f.KeepNotFound = errUnknown, time.Second
	return &prices{f, s}
}

func (p *prices) get(ctx context.Context, product string) (cents int, err error) {
	b, _, err := p.flight.Do(ctx, product, func(ctx context.Context) ([]byte, error) {
		cents, err := p.shop.price(ctx, product)
		return strconv.AppendInt(nil, int64(cents), 10), err
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

// A shop is slow, and counts the questions.
type shop struct{ asked atomic.Int64 }

func (s *shop) price(_ context.Context, product string) (int, error) {
	s.asked.Add(1)
	time.Sleep(100 * time.Millisecond)
	if product != "tea" {
		return 0, errUnknown
	}
	return 499, nil
}

func main() {
	ctx := context.Background()
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	p := open(redis.Client, new(shop))
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() { _, _ = p.get(ctx, "tea") })
	}
	wg.Wait()
	fmt.Println(p.get(ctx, "tea"))
	fmt.Println("500 requests asked the shop", p.shop.asked.Load(), "times")
}
