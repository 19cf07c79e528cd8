package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// With Replicas, a lock is not granted until replicas have confirmed it: a failover could lose it.
func ExampleMutex_replicas() {
	rdb, closeAll := exampleClient() // a server without replicas
	defer closeAll()
	mu := mutex.New(rdb, "orders")
	mu.Replicas, mu.ReplicaTimeout = mutex.AllReplicas, 50*time.Millisecond

	_, err := mu.TryLockContext(context.Background())
	fmt.Println(errors.Is(err, mutex.ErrUnconfirmed))

	status, err := mu.Inspect(context.Background())
	fmt.Println("held:", status.Held(), err)
	// Output:
	// true
	// held: false <nil>
}
