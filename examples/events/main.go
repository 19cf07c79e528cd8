// Events handles events, each under the lock of its customer. Most events of a customer reach the
// same consumer, which keeps the lock for a moment because of Linger.
//
//	go run ./examples/events
//
// The program prints the requests per event with and without Linger. It starts a Redis in memory.
// REDIS_URL selects another server.
package main

import (
	"context"
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

const customers, strays = 20, 50 // one event in 50 reaches the other consumer

// requests counts the commands of a client.
type requests struct{ n atomic.Int64 }

func (r *requests) DialHook(next redis.DialHook) redis.DialHook { return next }
func (r *requests) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { r.n.Add(1); return next(ctx, cmd) }
}
func (r *requests) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { r.n.Add(int64(len(cmds))); return next(ctx, cmds) }
}

// consume handles events, and returns the number of requests per event.
func consume(o *redis.Options, events int, linger time.Duration, handle func(customer int)) float64 {
	var counted requests
	var wg sync.WaitGroup
	for consumer := range 2 {
		rdb := redis.NewClient(&redis.Options{Addr: o.Addr, Username: o.Username, Password: o.Password, DB: o.DB, Dialer: o.Dialer})
		defer rdb.Close()
		rdb.AddHook(&counted)
		locks := mutex.NewPool(rdb, "customer:")
		locks.Linger = linger
		wg.Go(func() {
			for i := range events / 2 {
				customer := i%(customers/2)*2 + consumer
				if i%strays == 0 {
					customer ^= 1
				}
				locks.Lock(strconv.Itoa(customer))
				handle(customer)
				locks.Unlock(strconv.Itoa(customer))
			}
		})
	}
	wg.Wait()
	return float64(counted.n.Load()) / float64(events)
}

func main() {
	redis, err := server.Connect(context.Background(), os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	for _, linger := range []time.Duration{0, 50 * time.Millisecond} {
		n := consume(redis.Options(), 20_000, linger, func(int) {})
		fmt.Printf("Linger %v: %.2f requests per event\n", linger, n)
	}
}
