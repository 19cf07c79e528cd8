package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// exampleClient stands for redis.NewClient with the address of your server. A page of internal/docs
// has these lines.
func exampleClient() (*redis.Client, func()) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true) // keys expire
	if err := server.Start(); err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	return rdb, func() {
		rdb.Close()
		server.Close()
	}
}

// The drop-in style and the lease style use the same lock.
func ExampleMutex() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	func() {
		mu := mutex.New(rdb, "orders")

		mu.Lock()
		defer mu.Unlock()
		fmt.Println("drop-in style")
	}()
	mu := mutex.New(rdb, "orders")
	fmt.Println(func() error {
		lease, err := mu.LockContext(ctx)
		if err != nil {
			return err
		}
		defer lease.Unlock()
		fmt.Println("lease style")
		return nil
	}())
	// Output:
	// drop-in style
	// lease style
	// <nil>
}

// A lock in a select, with a timeout.
func ExampleMutex_LockChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")

	wait, cancel := context.WithCancel(ctx)
	defer cancel() // stops waiting; a lock that you did not receive is released

	select {
	case r := <-mu.LockChan(wait):
		if r.Err != nil {
			fmt.Println(r.Err)
			return
		}
		defer r.Lease.Unlock()
		fmt.Println("locked")
	case <-time.After(time.Minute):
		fmt.Println("busy")
	}
	// Output: locked
}

// A try does not wait.
func ExampleMutex_TryLockContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")

	lease, err := mu.TryLockContext(ctx)
	fmt.Println(err)
	_, err = mu.TryLockContext(ctx)
	fmt.Println(errors.Is(err, mutex.ErrLocked), mu.TryLock())
	fmt.Println(lease.Unlock())
	// Output:
	// <nil>
	// true false
	// <nil>
}

// Do unlocks when f returns, and cancels f's ctx if the lock is lost.
func ExampleMutex_Do() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")
	process := func(ctx context.Context) error {
		fmt.Println("processing")
		return ctx.Err()
	}

	err := mu.Do(ctx, func(ctx context.Context) error {
		return process(ctx) // ctx is canceled if the lock is lost
	})
	if errors.Is(err, mutex.ErrLost) {
		fmt.Println("another process may have held the lock")
	}
	// Output: processing
}

// Inspect shows the holders of the lock, the remaining time of each lease, and the number of waiters.
func ExampleMutex_Inspect() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")
	mu.Label = "nightly report"
	mu.Lock()
	defer mu.Unlock()

	status, err := mu.Inspect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, h := range status.Holders {
		fmt.Println(h.Label, h.PID == os.Getpid(), h.Remaining > 0)
	}
	fmt.Println(status.Waiters, "waiting")
	// Output:
	// nightly report true true
	// 0 waiting
}

// The lease's ctx cancels the work if the lock is lost.
func ExampleLease_Context() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")
	mu.TTL = 300 * time.Millisecond

	lease, err := mu.LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	work, stop := lease.Context(ctx)
	defer stop()
	rdb.Del(ctx, "orders") // Redis loses the lock

	<-work.Done()
	fmt.Println(context.Cause(work))
	fmt.Println(lease.Err(), lease.Remaining())
	fmt.Println(lease.Unlock())
	// Output:
	// baton: lease lost
	// baton: lock "orders": lease lost 0s
	// baton: unlock "orders": lease lost
}

// A long batch stops early when another process waits for the lock.
func ExampleLease_Contended() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	other := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr}) // in another process
	defer other.Close()

	mu := mutex.New(rdb, "orders")
	mu.NotifyContention = true
	lease, err := mu.LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	next := mutex.New(other, "orders").LockChan(ctx)
	for stop := false; !stop; {
		select {
		case <-lease.Contended(): // another process waits: finish this batch
			stop = true
		case <-lease.Done():
			stop = true
		case <-time.After(time.Millisecond): // process an order
		}
	}
	fmt.Println(lease.Unlock())
	fmt.Println((<-next).Lease.Unlock())
	// Output:
	// <nil>
	// <nil>
}

// register is a storage that checks fencing tokens.
type register struct {
	mu    sync.Mutex
	fence int64
	value string
}

func (s *register) write(fence int64, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fence < s.fence {
		return errors.New("stale fence")
	}
	s.fence, s.value = fence, value
	return nil
}

// A storage that checks fencing tokens rejects the write of a holder that was paused
// until its lease expired.
func ExampleLease_Fence() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	mu := mutex.New(rdb, "orders")
	var storage register

	paused, _ := mu.LockContext(ctx)
	paused.Unlock() // stands for the expiry of its lease
	next, _ := mu.LockContext(ctx)
	defer next.Unlock()

	fmt.Println(storage.write(next.Fence(), "new"))
	fmt.Println(storage.write(paused.Fence(), "old"))
	// Output:
	// <nil>
	// stale fence
}

// A Trace receives the events of every request and every hold.
func ExampleTrace() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	mu := mutex.New(rdb, "orders")
	mu.Trace = &mutex.Trace{
		Acquired: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "acquired", e.Path, e.Wait < time.Minute)
		},
		Failed: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "failed:", e.Err)
		},
		Lost: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "lost:", e.Cause)
		},
		Released: func(_ context.Context, e mutex.Event) {
			fmt.Println(e.Key, "released", e.Held < time.Minute)
		},
	}

	lease, err := mu.LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := mu.TryLockContext(ctx); !errors.Is(err, mutex.ErrLocked) {
		fmt.Println(err)
	}
	if err := lease.Unlock(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// orders acquired immediate true
	// orders failed: baton: try to lock "orders": locked
	// orders released true
}
