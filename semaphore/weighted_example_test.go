package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// Permits in a select, with a timeout.
func ExampleWeighted_AcquireChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	sem := semaphore.NewWeighted(rdb, "reports", 10)

	wait, cancel := context.WithCancel(context.Background())
	defer cancel() // stops waiting; permits that you did not receive are released

	select {
	case r := <-sem.AcquireChan(wait, 3):
		if r.Err != nil {
			fmt.Println(r.Err)
			return
		}
		defer r.Lease.Release()
		fmt.Println("3 of 10")
	case <-time.After(time.Minute):
		fmt.Println("busy")
	}
	// Output: 3 of 10
}

// A lease reports whether the permits were lost. A try does not wait.
func ExampleWeighted_AcquireLease() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	sem := semaphore.NewWeighted(rdb, "reports", 10)

	lease, err := sem.AcquireLease(ctx, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	select {
	case <-lease.Done():
		fmt.Println("lost")
	default:
		fmt.Println("held", lease.Err())
	}
	_, err = sem.TryAcquireLease(ctx, 8)
	fmt.Println(errors.Is(err, semaphore.ErrNotAvailable))
	fmt.Println(lease.Release()) // ErrLost: more than 10 may have been in use
	// Output:
	// held <nil>
	// true
	// <nil>
}

// Resize changes the size for all processes, even while permits are in use.
func ExampleWeighted_Resize() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	sem := semaphore.NewWeighted(rdb, "reports", 2)

	fmt.Println(sem.TryAcquire(3))
	if err := sem.Resize(ctx, 3); err != nil {
		fmt.Println(err)
	}
	fmt.Println(sem.TryAcquire(3))
	sem.Release(3)

	other := semaphore.NewWeighted(rdb, "reports", 5)
	fmt.Println(other.Acquire(ctx, 1))
	// Output:
	// false
	// true
	// baton: acquire "reports": size mismatch: semaphore has 3 permits, this process expects 5
}

// A Weighted shares its permits between processes.
func ExampleWeighted() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	here := semaphore.NewWeighted(rdb, "reports", 10)
	elsewhere := semaphore.NewWeighted(rdb, "reports", 10) // in another process

	if err := here.Acquire(ctx, 7); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(elsewhere.TryAcquire(4), elsewhere.TryAcquire(3))
	here.Release(7)
	elsewhere.Release(3)
	// Output: false true
}

// Do releases when f returns, and cancels f's ctx if the permits are lost.
func ExampleWeighted_Do() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	sem := semaphore.NewWeighted(rdb, "reports", 10)

	err := sem.Do(context.Background(), 3, func(ctx context.Context) error {
		fmt.Println("3 of 10")
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// 3 of 10
	// <nil>
}

// Inspect shows the size, and the permits of each process.
func ExampleWeighted_Inspect() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	sem := semaphore.NewWeighted(rdb, "reports", 10)
	sem.Label = "nightly"
	if err := sem.Acquire(ctx, 7); err != nil {
		fmt.Println(err)
		return
	}
	defer sem.Release(7)

	status, err := sem.Inspect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Used, "of", status.Size)
	for _, h := range status.Holders {
		fmt.Println(h.Label, h.Permits)
	}
	// Output:
	// 7 of 10
	// nightly 7
}

// The lease's ctx cancels the work if the permits are lost.
func ExampleLease_Context() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	sem := semaphore.NewWeighted(rdb, "reports", 10)
	sem.TTL = 300 * time.Millisecond

	lease, err := sem.AcquireLease(ctx, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	work, stop := lease.Context(ctx)
	defer stop()
	rdb.Del(ctx, "reports") // Redis loses the semaphore

	<-work.Done()
	fmt.Println(context.Cause(work))
	fmt.Println(lease.Err(), lease.Remaining())
	fmt.Println(lease.Release())
	// Output:
	// baton: lease lost
	// baton: acquire "reports": lease lost 0s
	// baton: release "reports": lease lost
}

// Long work stops early when another process waits for permits.
func ExampleLease_Contended() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	other := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr}) // in another process
	defer other.Close()

	sem := semaphore.NewWeighted(rdb, "reports", 2)
	sem.NotifyContention = true
	lease, err := sem.AcquireLease(ctx, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	next := semaphore.NewWeighted(other, "reports", 2).AcquireChan(ctx, 1)
	<-lease.Contended()
	fmt.Println(lease.Release())
	fmt.Println((<-next).Lease.Release())
	// Output:
	// <nil>
	// <nil>
}

// A fence identifies a hold.
func ExampleLease_Fence() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	sem := semaphore.NewWeighted(rdb, "reports", 10)

	first, err1 := sem.AcquireLease(ctx, 1)
	second, err2 := sem.AcquireLease(ctx, 1)
	if err := errors.Join(err1, err2); err != nil {
		fmt.Println(err)
		return
	}
	defer first.Release()
	defer second.Release()
	fmt.Println(first.Fence() != second.Fence())
	// Output: true
}
