package waitgroup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

func init() {
	workers["panics"] = panicsProcess
	workers["tasks"] = tasksProcess
	workers["waiter"] = waiterProcess
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

// TestKill kills a process with three tasks: all who wait, in all processes, are
// told of three.
func TestKill(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	rdb := s.Client(t)
	wg := waitgroup.New(rdb, "key")
	wg.Add(3)
	victim := spawn(t, s, "tasks", ttl)
	for range 3 {
		says(t, victim, "joined")
	}
	wg.Add(1)
	other := claim(t, wg)
	var waits []<-chan error
	for range 10 {
		waits = append(waits, wg.WaitChan(t.Context()), waitgroup.New(sibling(t, rdb), "key").WaitChan(t.Context()))
	}
	waiter := spawn(t, s, "waiter", ttl)
	says(t, waiter, "waits")
	goesOn(t, "a live process", waits[0], 3*ttl) // it is renewed

	victim.Kill()
	start := time.Now()
	must(other.Done())
	for i, c := range waits {
		err := ends(t, fmt.Sprint("wait ", i), c, start, ttl+poll)
		lost(t, "a wait", err, 3)
	}
	if got := says(t, waiter, "told"); got != "3" {
		t.Errorf("another process was told of %s", got)
	}
	lost(t, "who comes late", wg.WaitContext(t.Context()), 3)
	wg.Add(1)
	wg.Done()
	if err := wg.WaitContext(t.Context()); err != nil {
		t.Errorf("the next round: %v", err)
	}
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
	w := spawn(t, s, "panics", ttl, "WG_HOW=pause")
	says(t, w, "joined")
	c := wg.WaitChan(t.Context())
	w.Pause()
	lost(t, "the wait", ends(t, "the wait", c, time.Now(), ttl+poll), 1)
	w.Continue()
	if got := says(t, w, "lost"); got != "true" {
		t.Errorf("Done after the loss: ErrLost is %s", got)
	}
}

func panicsProcess() {
	_, wg := process()
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
