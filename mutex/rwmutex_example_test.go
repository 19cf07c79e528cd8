package mutex_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A RWMutex in place of a sync.RWMutex.
func ExampleRWMutex() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	mu := mutex.NewRW(rdb, "catalogue") // was: new(sync.RWMutex)
	prices := map[string]int{}

	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			prices["tea"] += i // nobody else writes or reads, in any process
		})
	}
	wg.Wait()

	mu.RLock()
	defer mu.RUnlock()
	fmt.Println(prices["tea"]) // others may read meanwhile
	// Output: 45
}

// A reader's lease says what became of it, and its fence which write it has seen.
func ExampleRWMutex_RLockContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.NewRW(rdb, "catalogue")

	written, err := mu.LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	written.Unlock()

	first, err := mu.RLockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := mu.RLockContext(ctx) // asks nobody: its process is a reader already
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.Fence() > written.Fence(), second.Fence() > written.Fence())
	fmt.Println(first.Unlock(), second.Unlock())
	// Output:
	// true true
	// <nil> <nil>
}

// A reader and a writer in a select.
func ExampleRWMutex_RLockChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	mu := mutex.NewRW(rdb, "catalogue")

	mu.RLock()
	defer mu.RUnlock()

	wait, cancel := context.WithCancel(context.Background())
	defer cancel() // ends both waits; a lock that comes too late is given back

	for range 2 {
		select {
		case r := <-mu.RLockChan(wait):
			fmt.Println("reading", r.Err)
			if r.Err == nil {
				defer r.Lease.Unlock()
			}
		case <-time.After(time.Minute):
			fmt.Println("busy")
		}
	}
	select {
	case r := <-mu.LockChan(wait):
		fmt.Println("writing", r.Err)
	case <-time.After(10 * time.Millisecond):
		fmt.Println("busy")
	}
	// Output:
	// reading <nil>
	// reading <nil>
	// busy
}

// RDo unlocks, and cancels the work if the lock is lost.
func ExampleRWMutex_RDo() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	mu := mutex.NewRW(rdb, "catalogue")

	err := mu.RDo(context.Background(), func(ctx context.Context) error {
		fmt.Println("reading")
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// reading
	// <nil>
}
