package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A worker is what the clients of a worker process share.
type worker struct {
	plan   plan
	system lockClient
	pen    eventWriter
	ctx    context.Context // ends with the work
	serial atomic.Int64
}

// workIfTold does a worker's work, and does not return, in a process that the soak has
// started. The work goes on until a line comes from stdin. If that ends without one, the
// parent has.
func workIfTold() {
	told := os.Getenv(planEnv)
	if told == "" {
		return
	}
	w := &worker{}
	check(json.Unmarshal([]byte(told), &w.plan))
	w.pen = eventWriter{must(os.OpenFile(w.plan.Journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600))}
	before := runtime.NumGoroutine()
	w.system = systems[w.plan.System](&w.plan)
	var stop context.CancelFunc
	w.ctx, stop = context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i, key := range w.plan.Keys {
		for g, run := range workloadOf(key).run {
			random := rand.New(rand.NewPCG(w.plan.Seed, uint64(w.plan.Worker)<<32|uint64(w.plan.Generation)<<16|uint64(i*2+g)))
			c := &client{w, key, uint8(slices.Index(keys, key)), random}
			clients.Go(func() { run(c) })
		}
	}
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); errors.Is(err, io.EOF) {
		os.Exit(1)
	}
	stop()
	clients.Wait()
	check(os.WriteFile(w.plan.Outcome, []byte(w.leak(before)), 0o600))
	os.Exit(0)
}

// leak is what is left of the library when nothing is held or awaited any more, though
// its client is open; and of everything, when that is closed too.
func (w *worker) leak(before int) (text string) {
	if !eventually(10*time.Second, func() bool { text = ours(); return text == "" }) {
		text = "goroutines of the library:\n" + text
	}
	w.system.close()
	if text == "" && w.plan.System == "baton" && !eventually(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		text = fmt.Sprintf("%d goroutines, %d at first:\n%s", runtime.NumGoroutine(), before, stacks())
	}
	return text
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
