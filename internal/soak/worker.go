package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/rpc"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sharedmutex "github.com/seed-3d5fec5c/baton/mutex"
)

// A worker is what the clients of a worker process share.
type worker struct {
	plan     *plan
	pen      eventWriter
	register *rpc.Client
	ctx      context.Context // ends with the work
	serial   atomic.Int64
}

// workIfTold does a worker's work, and does not return, in a process that the soak has
// started.
func workIfTold() {
	told := os.Getenv(planEnv)
	if told == "" {
		return
	}
	if err := work(told); err != nil {
		fmt.Fprintln(os.Stderr, "soak: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// work goes on until a line comes from stdin. If that ends without one, the parent has.
func work(told string) error {
	w := &worker{plan: &plan{}}
	if err := json.Unmarshal([]byte(told), w.plan); err != nil {
		return err
	}
	file, err := os.OpenFile(w.plan.Journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	w.pen = eventWriter{file}
	if w.register, err = rpc.Dial("unix", w.plan.Register); err != nil {
		return err
	}
	before := runtime.NumGoroutine()
	system, err := systems[w.plan.System].open(w.plan)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	w.ctx = ctx
	var clients sync.WaitGroup
	w.start(system, &clients)
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); errors.Is(err, io.EOF) {
		os.Exit(1)
	}
	stop()
	clients.Wait()
	return w.leave(system, before)
}

func (w *worker) start(system lockClient, clients *sync.WaitGroup) {
	for i, key := range w.plan.Keys {
		var index uint8
		for j, k := range keys {
			if k == key {
				index = uint8(j)
			}
		}
		for g := range 2 {
			random := rand.New(rand.NewPCG(w.plan.Seed, uint64(w.plan.Worker)<<32|uint64(w.plan.Generation)<<16|uint64(i*2+g)))
			c := &client{worker: w, key: key, index: index, random: random}
			switch {
			case key[0] == 'w' && g == 0:
				clients.Go(func() { c.count(system.(*baton).group(key)) })
			case key[0] == 'w':
				clients.Go(func() { c.await(system.(*baton).group(key)) })
			case key[0] == 'l':
				clients.Go(func() { c.take(system.(*baton).limiter(key)) })
			case key[0] == 'o':
				clients.Go(func() { c.once(system.(*baton).once(key)) })
			case key[0] == 'f':
				clients.Go(func() { c.flight(system.(*baton).flight(key)) })
			case key[0] == 'p' && g > 0: // one for each key will do
			default:
				ask := system.request(key)
				clients.Go(func() { c.contend(ask) })
			}
		}
	}
}

// leave writes down what is left of the library when nothing is held or awaited any
// more, though its client is open; and of everything, when that is closed too.
func (w *worker) leave(system lockClient, before int) error {
	leak := ""
	if !eventually(10*time.Second, func() bool { leak = ours(); return leak == "" }) {
		leak = "goroutines of the library:\n" + leak
	}
	system.close()
	if leak == "" && w.plan.System == "baton" && !eventually(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		leak = fmt.Sprintf("%d goroutines, %d at first:\n%s", runtime.NumGoroutine(), before, stacks())
	}
	return os.WriteFile(w.plan.Outcome, []byte(leak), 0o600)
}

// ours are the goroutines that run the library's code.
func ours() (list string) {
	for stack := range strings.SplitSeq(stacks(), "\n\n") {
		for _, pkg := range []string{"client", "lease", "taskgroup", "ratelimit", "retry", "redisstore"} {
			if strings.Contains(stack, "baton/internal/"+pkg+".") {
				list += stack + "\n\n"
				break
			}
		}
	}
	return list
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

func eventually(within time.Duration, cond func() bool) bool {
	for end := time.Now().Add(within); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// outcome classifies what a call returned.
func outcome(err error) result {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, sharedmutex.ErrLocked):
		return locked
	case errors.Is(err, sharedmutex.ErrLost), errors.Is(err, errNotHeld):
		return lost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ended
	}
	return unsure
}
