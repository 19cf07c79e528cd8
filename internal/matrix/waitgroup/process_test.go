package waitgroup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

func init() {
	workers["paused"] = pausedProcess
	workers["tasks"] = tasksProcess
	workers["waiter"] = waiterProcess
}

// process returns the client and the group from a worker's environment.
func process() (*redis.Client, *waitgroup.WaitGroup) {
	rdb, ttl := kit.FromEnv()
	return rdb, groupOf(rdb, ttl)
}

// TestKill kills a process with three tasks. All waits in all processes report three abandoned tasks.
func TestKill(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(3)
	victim := kit.Spawn(t, s, "tasks", ttl)
	for range 3 {
		victim.Expect("claimed")
	}
	wg.Add(1)
	other := claim(t, wg)
	var waits []<-chan error
	for range 10 {
		waits = append(waits, wg.WaitChan(t.Context()), waitgroup.New(s.Client(t), "key").WaitChan(t.Context()))
	}
	waiter := kit.Spawn(t, s, "waiter", ttl)
	waiter.Expect("waits")
	expectPending(t, "a wait for live tasks", waits[0], 3*ttl) // the tasks are renewed

	victim.Kill()
	start := time.Now()
	must(other.Done())
	for i, c := range waits {
		err := receiveResult(t, fmt.Sprint("wait ", i), c, start, ttl+poll)
		lost(t, "a wait", err, 3)
	}
	if got := waiter.Expect("abandoned"); got != "3" {
		t.Errorf("the wait in another process reported %s abandoned tasks", got)
	}
	lost(t, "a later wait", wg.WaitContext(t.Context()), 3)
	wg.Add(1)
	wg.Done()
	expectNil(t, wg.WaitContext(t.Context())) // the next generation
}

// tasksProcess runs a task of each kind.
func tasksProcess() {
	_, wg := process()
	ctx := context.Background()
	for range 2 {
		_, err := wg.Claim(ctx)
		must(err)
		fmt.Println("claimed")
	}
	must(wg.DoneContext(ctx)) // the third is replaced by a task of Do
	go func() {
		_ = wg.Do(ctx, func(context.Context) error {
			fmt.Println("claimed")
			select {}
		})
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

func waiterProcess() {
	rdb, wg := process()
	defer rdb.Close()
	c := wg.WaitChan(context.Background())
	fmt.Println("waits")
	var a *waitgroup.AbandonedError
	if !errors.As(<-c, &a) {
		a = new(waitgroup.AbandonedError)
	}
	fmt.Println("abandoned", a.Tasks)
}

// TestPause stops a process for longer than its TTL. Its task is abandoned, and the loss is reported when the
// process continues.
func TestPause(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	w := kit.Spawn(t, s, "paused", ttl)
	w.Expect("claimed")
	c := wg.WaitChan(t.Context())
	w.Pause()
	lost(t, "the wait", receiveResult(t, "the wait", c, time.Now(), ttl+poll), 1)
	w.Continue()
	if got := w.Expect("lost"); got != "true" {
		t.Errorf("Done after the loss: ErrLost is %s", got)
	}
}

func pausedProcess() {
	_, wg := process()
	task, err := wg.Claim(context.Background())
	must(err)
	fmt.Println("claimed")
	ctx, stop := task.Context(context.Background())
	defer stop()
	<-ctx.Done()
	fmt.Println("lost", context.Cause(ctx) == waitgroup.ErrLost && errors.Is(task.Done(), waitgroup.ErrLost))
}
