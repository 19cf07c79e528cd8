package waitgroup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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
	wg.TTL, err = time.ParseDuration(os.Getenv("WG_TTL"))
	must(err)
	return rdb, wg
}

func spawn(t *testing.T, s *redistest.Server, name string, ttl time.Duration, env ...string) *redistest.Worker {
	t.Helper()
	return redistest.Spawn(t, name, append(env, "WG_URL="+s.URL(), "WG_TTL="+ttl.String())...)
}

// says waits for a line of the worker, which is to begin with the word, and
// returns the rest.
func says(t *testing.T, w *redistest.Worker, word string) string {
	t.Helper()
	select {
	case line := <-w.Lines():
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			t.Fatalf("the worker says %q, not %q", line, word)
		}
		return strings.TrimSpace(rest)
	case <-time.After(redistest.Patience):
		t.Fatalf("the worker does not say %q", word)
		return ""
	}
}

// TestGenerationsAcrossProcesses reuses groups for 1,000 generations. In each, all processes
// do their part of the work and wait for the others; when all have been told, one of
// them begins the next. Nobody is told before all parts are done, and nobody is left
// waiting.
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
		ws = append(ws, spawn(t, s, "rounds", time.Minute, fmt.Sprint("WG_ME=", i), fmt.Sprint("WG_PROCESSES=", processes), fmt.Sprint("WG_ROUNDS=", rounds)))
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

// TestGoPanic: a task of Go that panics ends its program, as with sync, and those
// who wait are told at once that it was not done.
func TestGoPanic(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(1)
	w := spawn(t, s, "panics", time.Minute)
	says(t, w, "runs")
	c := wg.WaitChan(t.Context())
	w.Send("now")
	if err := w.Wait(); err == nil {
		t.Error("the program has not died")
	}
	wg.Done()
	lost(t, "the wait", ends(t, "the wait", c, time.Now(), poll), 1)
}

// TestGoPanicDoesNotUnblockWait has a task of Go panic while its program is in Wait. The
// program ends with the panic of the task.
func TestGoPanicDoesNotUnblockWait(t *testing.T) {
	t.Parallel()
	w := spawn(t, redistest.Start(t), "panics", time.Minute, "WG_HOW=wait")
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
	_, wg := process()
	if os.Getenv("WG_HOW") == "wait" {
		defer func() { fmt.Println("Wait panics:", recover()) }()
		var h lateReply // so that the program lives for a while after Redis knows
		o, err := redis.ParseURL(os.Getenv("WG_URL"))
		must(err)
		rdb := redis.NewClient(o)
		rdb.AddHook(&h)
		wg := waitgroup.New(rdb, "key")
		wg.Go(func() { panic("on fire") })
		wg.Wait()
		fmt.Println("Wait returns")
		return
	}
	in := bufio.NewReader(os.Stdin)
	if os.Getenv("WG_HOW") == "pause" {
		task, err := wg.Claim(context.Background())
		must(err)
		fmt.Println("joined")
		ctx, stop := task.Context(context.Background())
		defer stop()
		<-ctx.Done()
		fmt.Println("lost", context.Cause(ctx) == waitgroup.ErrLost && errors.Is(task.Done(), waitgroup.ErrLost))
		return
	}
	wg.Go(func() {
		fmt.Println("runs")
		_, _ = in.ReadString('\n')
		panic("on fire")
	})
	select {}
}
