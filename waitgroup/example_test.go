package waitgroup_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// exampleClient stands for redis.NewClient with the address of your server.
var exampleClient = redistest.ExampleClient

// A WaitGroup can replace a sync.WaitGroup.
func ExampleWaitGroup() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	wg := waitgroup.New(rdb, "import:42") // was: var wg sync.WaitGroup

	var sizes sync.Map
	for _, page := range []string{"one", "two", "three"} {
		wg.Go(func() { sizes.Store(page, len(page)) })
	}
	wg.Wait() // for the work of all processes
	fmt.Println(sizes.Load("three"))
	// Output: 5 true
}

// A wait in a select, with a progress report.
func ExampleWaitGroup_WaitChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Add(1)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(wg.Done) // usually in another process

	wait, cancel := context.WithCancel(ctx)
	defer cancel() // stops waiting

	over := wg.WaitChan(wait)
	progress := time.NewTicker(time.Minute)
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

// Do runs a task. Its ctx is canceled if the task is lost.
func ExampleWaitGroup_Do() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")

	err := wg.Do(ctx, func(ctx context.Context) error {
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

// A coordinator adds the work and waits. Workers in other processes claim it.
func ExampleWaitGroup_Claim() {
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
			task, err := worker.Claim(ctx)
			if errors.Is(err, waitgroup.ErrNothingToClaim) {
				return
			}
			if err != nil {
				fmt.Println(err)
				return
			}
			// The work comes here.
			if err := task.Done(); err != nil {
				fmt.Println(err) // ErrLost: it counts as abandoned
			}
		}
	})

	fmt.Println(coordinator.WaitContext(ctx))
	// Output: <nil>
}

// A wait reports tasks that were abandoned. If a process dies, its tasks are abandoned
// one TTL later.
func ExampleAbandonedError() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Add(2)
	for range 2 {
		task, err := wg.Claim(ctx)
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
		fmt.Println(lost.Tasks, errors.Is(err, waitgroup.ErrAbandoned), lost.Error())
	}
	// Output: 2 true baton: tasks abandoned: 2
}

// AddContext and DoneContext return an error and do not panic.
func ExampleWaitGroup_AddContext() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")

	fmt.Println(wg.AddContext(ctx, 1))
	fmt.Println(wg.DoneContext(ctx))
	fmt.Println(errors.Is(wg.DoneContext(ctx), waitgroup.ErrNegativeCounter))
	fmt.Println(wg.WaitContext(ctx))
	// Output:
	// <nil>
	// <nil>
	// true
	// <nil>
}

// Inspect shows the remaining work, and the processes that run tasks.
func ExampleWaitGroup_Inspect() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Label = "page 1"
	wg.Add(3)
	task, err := wg.Claim(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer task.Done()

	status, err := wg.Inspect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Outstanding(), "left,", status.Count, "of them not begun")
	for _, t := range status.Tasks {
		fmt.Println(t.Label)
	}
	// Output:
	// 3 left, 2 of them not begun
	// page 1
}

// The task's ctx cancels the work if the task is lost.
func ExampleTask_Context() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.TTL = 2 * time.Second
	wg.Add(1)
	task, err := wg.Claim(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	work, stop := task.Context(ctx)
	defer stop()
	rdb.Del(ctx, "import:42") // Redis loses the group

	<-work.Done()
	fmt.Println(context.Cause(work))
	fmt.Println(task.Err(), errors.Is(task.Done(), waitgroup.ErrLost))
	// Output:
	// baton: task lost
	// baton: task "import:42": task lost true
}

// A worker that cannot do its task abandons it. Waits report that.
func ExampleTask_Abandon() {
	rdb, closeAll := exampleClient()
	defer closeAll()
	ctx := context.Background()
	wg := waitgroup.New(rdb, "import:42")
	wg.Add(1)
	task, err := wg.Claim(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(task.Abandon())
	fmt.Println(wg.WaitContext(ctx))
	// Output:
	// <nil>
	// baton: wait for "import:42": tasks abandoned: 1
}
