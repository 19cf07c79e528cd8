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

// A worker has the shared data of the clients of a worker process.
type worker struct {
	plan    plan
	system  lockClient
	journal eventWriter
	ctx     context.Context // done when the worker stops
	serial  atomic.Int64
}

// runWorker runs a worker, and does not return, in a process that the soak has started. The worker stops when
// it reads a line from stdin. If stdin ends without a line, the parent has ended.
func runWorker() {
	text := os.Getenv(planEnv)
	if text == "" {
		return
	}
	w := &worker{}
	check(json.Unmarshal([]byte(text), &w.plan))
	w.journal = eventWriter{must(os.OpenFile(w.plan.Journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600))}
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

// leak describes the goroutines of the library that are left when no lock is held or awaited. Then it closes the
// client, and describes all goroutines that are left.
func (w *worker) leak(before int) (text string) {
	if !eventually(10*time.Second, func() bool { text = libraryGoroutines(); return text == "" }) {
		text = "goroutines of the library:\n" + text
	}
	w.system.close()
	if text == "" && w.plan.System == "baton" && !eventually(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		text = fmt.Sprintf("%d goroutines, %d at the start:\n%s", runtime.NumGoroutine(), before, stacks())
	}
	return text
}

// libraryGoroutines returns the stacks of goroutines that run the library's code.
func libraryGoroutines() (list string) {
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
