package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Pool has a lock for each key.
func ExamplePool() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	accounts := mutex.NewPool(rdb, "account:")

	balance := map[string]int{"alice": 100, "bob": 100}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			accounts.Lock("alice")
			defer accounts.Unlock("alice")
			balance["alice"] -= 10
		})
	}
	wg.Wait()
	fmt.Println(balance)
	// Output: map[alice:0 bob:100]
}

// LockContext locks several keys. Their order does not matter.
func ExamplePool_LockContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	accounts := mutex.NewPool(rdb, "account:")

	balance := map[string]int{"alice": 100, "bob": 100}
	transfer := func(from, to string, amount int) error {
		lease, err := accounts.LockContext(ctx, from, to)
		if err != nil {
			return err
		}
		balance[from] -= amount
		balance[to] += amount
		return lease.Unlock() // ErrLost: another process may have held the lock
	}

	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { _ = transfer("alice", "bob", 10) })
		wg.Go(func() { _ = transfer("bob", "alice", 5) })
	}
	wg.Wait()
	fmt.Println(balance)
	// Output: map[alice:50 bob:150]
}

// The keys are independent.
func ExamplePool_TryLock() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	here, elsewhere := mutex.NewPool(rdb, "account:"), mutex.NewPool(rdb, "account:")

	here.Lock("alice")
	defer here.Unlock("alice")
	for _, key := range []string{"alice", "bob"} {
		status, err := elsewhere.Inspect(context.Background(), key)
		fmt.Println(key, status.Held(), err)
	}
	fmt.Println(elsewhere.TryLock("alice"), elsewhere.TryLock("bob"))
	elsewhere.Unlock("bob")
	// Output:
	// alice true <nil>
	// bob false <nil>
	// false true
}

// A try locks all the keys or none.
func ExamplePool_TryLockContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	accounts := mutex.NewPool(rdb, "account:")
	accounts.Lock("bob")

	_, err := accounts.TryLockContext(ctx, "alice", "bob")
	fmt.Println(errors.Is(err, mutex.ErrLocked))
	accounts.Unlock("bob")
	lease, err := accounts.TryLockContext(ctx, "alice", "bob")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(lease.Unlock())
	// Output:
	// true
	// <nil>
}

// Several keys in a select, with a timeout.
func ExamplePool_LockChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	accounts := mutex.NewPool(rdb, "account:")
	accounts.Lock("bob")
	defer accounts.Unlock("bob")

	wait, cancel := context.WithCancel(context.Background())
	defer cancel() // stops waiting, and releases the keys that are already locked

	got := accounts.LockChan(wait, "alice", "bob")
	select {
	case r := <-got:
		fmt.Println("both", r.Err)
	case <-time.After(10 * time.Millisecond):
		cancel()
		fmt.Println("busy", errors.Is((<-got).Err, context.Canceled))
	}
	// Output: busy true
}

// Each key has its own fencing tokens.
func ExampleLease_FenceOf() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	accounts := mutex.NewPool(rdb, "account:")

	lease, err := accounts.LockContext(ctx, "alice", "bob")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lease.Unlock()
	fmt.Println(lease.FenceOf("alice") > 0, lease.FenceOf("bob") > 0, lease.FenceOf("carol"))
	// Output: true true 0
}
