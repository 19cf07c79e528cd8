package waitgroup_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

func init() {
	workers["rounds"] = generationsProcess
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

// Four processes reuse groups for 1,000 generations, in which each does its part of the work and waits
// for the others. Nobody is told before all parts are done, and nobody is left waiting.
func TestGenerationsAcrossProcesses(t *testing.T) {
	t.Parallel()
	const processes, rounds = 4, 1000
	s := redistest.Start(t)
	rdb := s.Client(t)
	for key, n := range map[string]int{"key": processes, "told": processes - 1, "gate 1": 1} {
		waitgroup.New(rdb, key).Add(n)
	}
	var ws []*redistest.Worker
	for i := range processes {
		ws = append(ws, redistest.Spawn(t, "rounds", "WG_URL="+s.URL(), fmt.Sprint("WG_ME=", i), fmt.Sprint("WG_PROCESSES=", processes), fmt.Sprint("WG_ROUNDS=", rounds)))
	}
	for _, w := range ws {
		if err := w.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := rdb.Get(t.Context(), "done").Val(); got != strconv.Itoa(processes*rounds) {
		t.Errorf("%s parts were done", got)
	}
	holds(t, "in the end", rdb, processes, 0)
}

func generationsProcess() {
	rdb, work := process()
	defer rdb.Close()
	ctx := context.Background()
	number := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		must(err)
		return n
	}
	me, processes := number("WG_ME"), number("WG_PROCESSES")
	told := waitgroup.New(rdb, "told")
	gate := [2]*waitgroup.WaitGroup{waitgroup.New(rdb, "gate 0"), waitgroup.New(rdb, "gate 1")}
	for round := 1; round <= number("WG_ROUNDS"); round++ {
		must(rdb.Incr(ctx, "done").Err())
		work.Done()
		if me%2 == 0 {
			must(<-work.WaitChan(ctx))
		} else {
			must(work.WaitContext(ctx))
		}
		n, err := rdb.Get(ctx, "done").Int()
		must(err)
		if n != processes*round {
			panic(fmt.Sprintf("in round %d told when %d parts were done", round, n))
		}
		if me > 0 {
			told.Done()
			gate[round%2].Wait()
			continue
		}
		told.Wait()
		told.Add(processes - 1)
		work.Add(processes)
		gate[(round+1)%2].Add(1)
		gate[round%2].Done()
	}
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
