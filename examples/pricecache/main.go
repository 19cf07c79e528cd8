// Pricecache is a cache that prevents a stampede. When a price expires, hundreds of requests in
// several processes need it at once, but only one of them calls the shop.
//
//	go run ./examples/pricecache
//
// The program starts a Redis in memory. REDIS_URL selects another server.
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

// prices caches a price for a minute. For an hour after that, it returns the old price while one
// process calls the shop. The result "unknown product" is cached for a second.
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

// A shop is slow, and counts its calls.
type shop struct{ calls atomic.Int64 }

func (s *shop) price(_ context.Context, product string) (int, error) {
	s.calls.Add(1)
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
	fmt.Println("500 requests called the shop", p.shop.calls.Load(), "times")
}
