package waitgroup_test

import (
	"bufio"
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

func init() { workers["panics"] = panicsProcess }

// A task of Go that panics ends its program, as with sync. Waiters in other processes immediately
// get ErrAbandoned.
func TestGoPanic(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	w := redistest.Spawn(t, "panics", "WG_URL="+s.URL())
	if line := <-w.Lines(); line != "runs" {
		t.Errorf("the worker prints %q", line)
	}
	c := wg.WaitChan(t.Context())
	w.Send("now")
	if err := w.Wait(); err == nil {
		t.Error("the program ends without an error")
	}
	wg.Done()
	lost(t, "the wait", result(t, "the wait", c), 1)
}

// A panic of a task of Go ends its program before Wait returns.
func TestGoPanicDoesNotUnblockWait(t *testing.T) {
	t.Parallel()
	w := redistest.Spawn(t, "panics", "WG_URL="+redistest.Start(t).URL(), "WG_MODE=wait")
	if err := w.Wait(); err == nil {
		t.Error("the program ends without an error")
	}
	for line := range w.Lines() {
		t.Error(line)
	}
}

// panicsProcess runs a task that panics: at once during Wait, or when it reads a line.
func panicsProcess() {
	o, err := redis.ParseURL(os.Getenv("WG_URL"))
	must(err)
	rdb := redis.NewClient(o)
	wg := waitgroup.New(rdb, "key")
	wg.TTL = time.Minute
	if os.Getenv("WG_MODE") == "wait" {
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
