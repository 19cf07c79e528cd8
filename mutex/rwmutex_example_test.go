package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A RWMutex can replace a sync.RWMutex.
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
			prices["tea"] += i // no other reader or writer, in any process
		})
	}
	wg.Wait()

	reader := mu.RLocker() // with RLock and RUnlock
	reader.Lock()
	defer reader.Unlock()
	fmt.Println(prices["tea"]) // other readers may read at the same time
	// Output: 45
}

// A reader's fencing token is greater than that of every earlier writer.
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
	second, err := mu.RLockContext(ctx) // no request: this process already reads
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

// A writer in a select, with a timeout.
func ExampleRWMutex_RLockChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	mu := mutex.NewRW(rdb, "catalogue")

	wait, cancel := context.WithCancel(context.Background())
	defer cancel() // stops the waits; a lock that you did not receive is released

	mu.RLock()
	defer mu.RUnlock()
	reader := <-mu.RLockChan(wait) // readers share the lock
	if reader.Err != nil {
		fmt.Println(reader.Err)
		return
	}
	defer reader.Lease.Unlock()
	select {
	case r := <-mu.LockChan(wait):
		fmt.Println("writing", r.Err)
	case <-time.After(10 * time.Millisecond):
		fmt.Println("still reading")
	}
	// Output: still reading
}

// Do and RDo unlock when f returns, and cancel f's ctx if the lock is lost.
func ExampleRWMutex_RDo() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.NewRW(rdb, "catalogue")

	fmt.Println(mu.Do(ctx, func(ctx context.Context) error {
		fmt.Println("writing")
		return ctx.Err()
	}))
	fmt.Println(mu.RDo(ctx, func(ctx context.Context) error {
		fmt.Println("reading")
		return ctx.Err()
	}))
	// Output:
	// writing
	// <nil>
	// reading
	// <nil>
}

// Readers share the lock; a writer excludes them. A try does not wait.
func ExampleRWMutex_TryLockContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.NewRW(rdb, "catalogue")

	reader, err := mu.TryRLockContext(ctx)
	fmt.Println(err, mu.TryRLock())
	_, err = mu.TryLockContext(ctx)
	fmt.Println(errors.Is(err, mutex.ErrLocked))
	status, err := mu.Inspect(ctx)
	fmt.Println(len(status.Holders), err) // the readers of a process are one holder
	mu.RUnlock()
	fmt.Println(reader.Unlock(), mu.TryLock())
	mu.Unlock()
	// Output:
	// <nil> true
	// true
	// 1 <nil>
	// <nil> true
}
