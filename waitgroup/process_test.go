package waitgroup_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A task of Go that panics ends its program, as with sync, and before Wait returns there. Waiters in
// other processes immediately get ErrAbandoned.
func TestGoPanic(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	wg := waitgroup.New(s.Client(t), "key")
	wg.Add(1)
	running, waiting := redistest.Spawn(t, "panics", "WG_URL="+s.URL()), redistest.Spawn(t, "panics", "WG_URL="+s.URL(), "WG_WAIT=alone")
	if line := <-running.Lines(); line != "runs" {
		t.Errorf("the worker prints %q", line)
	}
	c := wg.WaitChan(t.Context())
	running.Send("now")
	if running.Wait() == nil || waiting.Wait() == nil {
		t.Error("a program ends without an error")
	}
	for line := range waiting.Lines() {
		t.Error(line)
	}
	wg.Done()
	lost(t, "the wait", result(t, "the wait", c), 1)
}

// panicsProcess runs a task that panics: at once during Wait, or when it reads a line.
func panicsProcess() {
	o, err := redis.ParseURL(os.Getenv("WG_URL"))
	must(err)
	rdb := redis.NewClient(o)
	alone := os.Getenv("WG_WAIT") // the key of a group with one task
	wg := waitgroup.New(rdb, cmp.Or(alone, "key"))
	wg.TTL = time.Minute
	if alone != "" {
		defer func() { fmt.Println("Wait panics:", recover()) }()
		// The program waits for the reply to the request that abandons the task: Wait could return before the end.
		rdb.AddHook(redistest.Hook{Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			err := next(ctx, cmd)
			if slices.Contains(cmd.Args(), any(string(taskgroup.OpAbandon))) {
				select {}
			}
			return err
		}})
		wg.Go(func() { panic("on fire") })
		wg.Wait()
		fmt.Println("Wait returns")
		return
	}
	in := bufio.NewReader(os.Stdin)
	wg.Go(func() {
		fmt.Println("runs")
		_, _ = in.ReadString('\n')
		panic("on fire")
	})
	select {}
}
