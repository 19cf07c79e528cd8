package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/waitgroup"
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

// A WaitGroup in place of a sync.WaitGroup.
func Example() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	wg := waitgroup.New(rdb, "import:42") // was: var wg sync.WaitGroup

	var sizes sync.Map
	for _, page := range []string{"one", "two", "three"} {
		wg.Go(func() { sizes.Store(page, len(page)) })
	}
	wg.Wait() // for what all processes have started under this key
	fmt.Println(sizes.Load("three"))
	// Output: 5 true
}

// A wait in a select, beside a ticker and whatever else there is to wait for.
func ExampleWaitGroup_WaitChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Add(1)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(wg.Done) // mostly in another process, and later

	wait, cancel := context.WithCancel(ctx)
	defer cancel() // ends the wait

	over := wg.WaitChan(wait)
	progress := time.NewTicker(time.Second)
	defer progress.Stop()
	for {
		select {
		case err := <-over:
			fmt.Println("over:", err)
			return
		case <-progress.C:
			fmt.Println("not yet")
		}
	}
	// Output: over: <nil>
}

// A task that a process runs itself. Its ctx ends should the task be lost, as
// those who wait are told then that nobody does it.
func ExampleWaitGroup_GoContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")

	err := wg.GoContext(ctx, func(ctx context.Context) error {
		select {
		case <-time.After(time.Millisecond): // the work
			return errors.New("page 7 is missing")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	fmt.Println("the task:", err)
	fmt.Println("the wait:", wg.WaitContext(ctx))
	// Output:
	// the task: page 7 is missing
	// the wait: <nil>
}

// A coordinator adds what there is to do, and waits; workers, mostly elsewhere,
// join a task for each part that they do.
func ExampleWaitGroup_Join() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()

	coordinator := waitgroup.New(rdb, "import:42")
	if err := coordinator.AddContext(ctx, 3); err != nil {
		fmt.Println(err)
		return
	}

	worker := waitgroup.New(rdb, "import:42") // in another process
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for {
			task, err := worker.Join(ctx)
			if errors.Is(err, waitgroup.ErrNoTask) {
				return
			}
			if err != nil {
				fmt.Println(err)
				return
			}
			// The work comes here.
			if err := task.Done(); err != nil {
				fmt.Println(err) // ErrLost: it has been counted as abandoned
			}
		}
	})

	fmt.Println(coordinator.WaitContext(ctx))
	// Output: <nil>
}

// What those who wait are told of work that nobody will do: here it is given up,
// and the death of a process has the same result, one TTL later.
func ExampleAbandonedError() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Add(2)
	for range 2 {
		task, err := wg.Join(ctx)
		if err == nil {
			err = task.Abandon()
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}

	err := wg.WaitContext(ctx)
	if lost, ok := errors.AsType[*waitgroup.AbandonedError](err); ok {
		fmt.Println("over, but for", lost.Tasks)
	}
	// Output: over, but for 2
}
