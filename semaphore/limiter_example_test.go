package semaphore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// exampleClient stands for redis.NewClient with the address of your server.
var exampleClient = redistest.ExampleClient

// All processes together send ten mails a second, in bursts of up to three.
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
	fmt.Println(time.Since(start) > 190*time.Millisecond)
	fmt.Println(limiter.WaitN(context.Background(), 4)) // exceeds the burst
	// Output:
	// true
	// baton: wait "mails": 4 exceeds the burst of 3
}

// Allow drops the event instead of waiting.
func ExampleLimiter_Allow() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	limiter := semaphore.NewLimiter(rdb, "login:alice", semaphore.Every(time.Minute), 2)

	fmt.Println(limiter.Allow(), limiter.Allow(), limiter.Allow())
	// Output: true true false
}

// A wait in a select, with a timeout.
func ExampleLimiter_WaitChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	limiter := semaphore.NewLimiter(rdb, "mails", semaphore.Every(time.Hour), 1)
	limiter.Allow()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // refunds the token
	select {
	case err := <-limiter.WaitChan(ctx):
		fmt.Println(err)
	case <-time.After(10 * time.Millisecond):
		fmt.Println("not now")
	}
	// Output: not now
}

// A Limiter shares its bucket between processes.
func ExampleLimiter() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	here := semaphore.NewLimiter(rdb, "mails", semaphore.Every(time.Minute), 5)
	elsewhere := semaphore.NewLimiter(rdb, "mails", semaphore.Every(time.Minute), 5) // in another process

	fmt.Println(here.AllowN(4), elsewhere.AllowN(2), elsewhere.AllowN(1))
	fmt.Printf("%.2f a second, %d at once\n", float64(here.Limit()), here.Burst())
	// Output:
	// true false true
	// 0.02 a second, 5 at once
}

// AllowContext distinguishes a refusal from an unreachable Redis.
func ExampleLimiter_AllowContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	limiter := semaphore.NewLimiter(rdb, "login:alice", semaphore.Every(time.Minute), 3)

	fmt.Println(limiter.AllowNContext(ctx, 3))
	fmt.Println(limiter.AllowContext(ctx))
	// Output:
	// true <nil>
	// false <nil>
}

// Inspect shows the remaining tokens, and the sleep time of the next Wait.
func ExampleLimiter_Inspect() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	limiter := semaphore.NewLimiter(rdb, "mails", semaphore.Every(time.Hour), 5)
	limiter.AllowN(3)

	status, err := limiter.Inspect(ctx)
	fmt.Printf("%.0f of %d tokens, next in %v, %v\n", status.Tokens, status.Burst, status.Next, err)
	// Output: 2 of 5 tokens, next in 0s, <nil>
}
