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

func init() {
	workers["panics"] = panicsProcess
}

// process is what a worker is told by its environment.
func process() (rdb *redis.Client, wg *waitgroup.WaitGroup) {
	o, err := redis.ParseURL(os.Getenv("WG_URL"))
	must(err)
	rdb = redis.NewClient(o)
	wg = waitgroup.New(rdb, "key")
	wg.TTL = time.Minute
	return rdb, wg
}

// A task of Go that panics ends its program, as with sync, and others are told at once that it was not done.
func TestGoPanic(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	w := redistest.Spawn(t, "panics", "WG_URL="+s.URL())
	if line := <-w.Lines(); line != "runs" {
		t.Errorf("the worker says %q", line)
	}
	c := wg.WaitChan(t.Context())
	w.Send("now")
	if err := w.Wait(); err == nil {
		t.Error("the program has not died")
	}
	wg.Done()
	lost(t, "the wait", ends(t, "the wait", c), 1)
}

// A panic of a task of Go ends its program, and not its Wait.
func TestGoPanicDoesNotUnblockWait(t *testing.T) {
	t.Parallel()
	w := redistest.Spawn(t, "panics", "WG_URL="+redistest.Start(t).URL(), "WG_HOW=wait")
	if err := w.Wait(); err == nil {
		t.Error("the program has not died")
	}
	for line := range w.Lines() {
		t.Error(line)
	}
}

// lateReply is a hook that withholds the reply to the request that abandons a task.
type lateReply struct{ redistest.Requests }

func (*lateReply) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if slices.Contains(cmd.Args(), any(string(taskgroup.OpAbandon))) {
			select {}
		}
		return err
	}
}

func panicsProcess() {
	rdb, wg := process()
	if os.Getenv("WG_HOW") == "wait" {
		defer func() { fmt.Println("Wait panics:", recover()) }()
		rdb.AddHook(new(lateReply)) // so that the program lives for a while after Redis knows
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
