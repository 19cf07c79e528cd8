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

// process is what a worker is told by its environment.
func process() (*redis.Client, *waitgroup.WaitGroup) {
	rdb, ttl := kit.FromEnv()
	return rdb, groupOf(rdb, ttl)
}

// TestKill kills a process with three tasks: all who wait, in all processes, are
// told of three.
func TestKill(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(3)
	victim := kit.Spawn(t, s, "tasks", ttl)
	for range 3 {
		victim.Says("joined")
	}
	wg.Add(1)
	other := claim(t, wg)
	var waits []<-chan error
	for range 10 {
		waits = append(waits, wg.WaitChan(t.Context()), waitgroup.New(s.Client(t), "key").WaitChan(t.Context()))
	}
	waiter := kit.Spawn(t, s, "waiter", ttl)
	waiter.Says("waits")
	goesOn(t, "a live process", waits[0], 3*ttl) // it is renewed

	victim.Kill()
	start := time.Now()
	must(other.Done())
	for i, c := range waits {
		err := ends(t, fmt.Sprint("wait ", i), c, start, ttl+poll)
		lost(t, "a wait", err, 3)
	}
	if got := waiter.Says("told"); got != "3" {
		t.Errorf("another process was told of %s", got)
	}
	lost(t, "who comes late", wg.WaitContext(t.Context()), 3)
	wg.Add(1)
	wg.Done()
	succeeds(t, wg.WaitContext(t.Context())) // the next round
}

// tasksProcess holds a task in each of the ways in which one can be had.
func tasksProcess() {
	_, wg := process()
	ctx := context.Background()
	for range 2 {
		_, err := wg.Claim(ctx)
		must(err)
		fmt.Println("joined")
	}
	must(wg.DoneContext(ctx)) // the third is replaced by one of its own
	go func() {
		_ = wg.Do(ctx, func(context.Context) error {
			fmt.Println("joined")
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
	fmt.Println("told", a.Tasks)
}

// TestPause stops a process for longer than its TTL, and lets it go on: its tasks
// are counted as abandoned, and it is told.
func TestPause(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	w := kit.Spawn(t, s, "paused", ttl)
	w.Says("joined")
	c := wg.WaitChan(t.Context())
	w.Pause()
	lost(t, "the wait", ends(t, "the wait", c, time.Now(), ttl+poll), 1)
	w.Continue()
	if got := w.Says("lost"); got != "true" {
		t.Errorf("Done after the loss: ErrLost is %s", got)
	}
}

func pausedProcess() {
	_, wg := process()
	task, err := wg.Claim(context.Background())
	must(err)
	fmt.Println("joined")
	ctx, stop := task.Context(context.Background())
	defer stop()
	<-ctx.Done()
	fmt.Println("lost", context.Cause(ctx) == waitgroup.ErrLost && errors.Is(task.Done(), waitgroup.ErrLost))
}
