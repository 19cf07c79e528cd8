package semaphore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// exampleClient stands for redis.NewClient with the address of your server.
func exampleClient() (*redis.Client, func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	return rdb, func() {
		rdb.Close()
		server.Close()
	}
}

// All processes together do ten mails a second, and three at once.
func ExampleLimiter_Wait() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	limiter := semaphore.NewLimiter(rdb, "mails", semaphore.Every(100*time.Millisecond), 3)

	start := time.Now()
	for range 5 {
		if err := limiter.Wait(context.Background()); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(time.Since(start).Round(100 * time.Millisecond))
	// Output: 200ms
}

// Who cannot wait drops the event.
func ExampleLimiter_Allow() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	limiter := semaphore.NewLimiter(rdb, "login:alice", semaphore.Every(time.Minute), 2)

	fmt.Println(limiter.Allow(), limiter.Allow(), limiter.Allow())
	// Output: true true false
}

// A turn in a select, beside whatever else there is to wait for.
func ExampleLimiter_WaitChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	limiter := semaphore.NewLimiter(rdb, "mails", semaphore.Every(time.Hour), 1)
	limiter.Allow()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // gives the turn back
	select {
	case err := <-limiter.WaitChan(ctx):
		fmt.Println(err)
	case <-time.After(10 * time.Millisecond):
		fmt.Println("not now")
	}
	// Output: not now
}
