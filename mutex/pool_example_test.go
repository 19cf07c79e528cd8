package mutex_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A lock for each of any number of keys.
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

// Several keys are locked all or none, in any order that callers name them.
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
		return lease.Unlock() // ErrLost: somebody else may have been inside
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
