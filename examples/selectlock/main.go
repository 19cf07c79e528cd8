// Selectlock waits for a lock in a select, with a timeout and a shutdown signal.
//
//	go run ./examples/selectlock
//
// Three workers need the same lock. The program starts a Redis in memory. With REDIS_URL set, it
// uses that server, and several processes share the lock. Ctrl-C ends the program: a worker that
// holds the lock finishes and unlocks.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// try waits for the lock, at most for timeout, and runs work while holding it. It reports
// whether work ran. It returns early if ctx is done.
func try(ctx context.Context, mu *mutex.Mutex, timeout time.Duration, work func(*mutex.Lease)) (ran bool, err error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel() // stops waiting; a lock that you did not receive is released

	lock := mu.LockChan(wait)
	select {
	case r := <-lock:
		if r.Err != nil {
			return false, r.Err
		}
		work(r.Lease)
		return true, r.Lease.Unlock() // ErrLost: another process may have held the lock
	case <-time.After(timeout):
		return false, nil
	case <-ctx.Done():
		// The process is about to exit. Receiving the result ensures that it leaves no queue
		// entry and no lock in Redis.
		if r := <-lock; r.Lease != nil {
			return false, r.Lease.Unlock()
		}
		return false, ctx.Err()
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	mu := mutex.New(redis.Client, "selectlock-demo")

	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var workers sync.WaitGroup
	for n := range 3 {
		workers.Go(func() {
			for ctx.Err() == nil {
				ran, err := try(ctx, mu, 400*time.Millisecond, func(lease *mutex.Lease) {
					fmt.Println("worker", n, "holds the lock, fencing token", lease.Fence())
					time.Sleep(300 * time.Millisecond) // the work
				})
				if !ran && err == nil {
					fmt.Println("worker", n, "timed out")
				}
			}
		})
	}
	workers.Wait()
}
