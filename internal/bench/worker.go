//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// workerEnv makes the binary a worker. Its value is the job.
const workerEnv = "BATON_BENCH_WORKER"

// A worker is a process that does a job, with its clients.
type worker struct {
	job
	clients []client
	mem     *sharedMem
}

var tasks = map[string]func(w *worker, start time.Time) *tally{
	"contend":  (*worker).contend,
	"foreign":  (*worker).foreign,
	"visit":    (*worker).visit,
	"pingpong": (*worker).pingpong,
}

// runWorker does a worker's job, and does not return, in a process that a fleet has started. The
// process writes "ready", reads the start time, and writes its tally. It ends when its parent ends,
// because that closes its stdin.
func runWorker() {
	text := os.Getenv(workerEnv)
	if text == "" {
		return
	}
	w := &worker{}
	err := json.Unmarshal([]byte(text), &w.job)
	if err == nil {
		err = w.work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (w *worker) work() error {
	for range max(w.Clients, 1) {
		sys, _ := systemNamed(w.System)
		c, err := sys.openWarm(w.Addr, fmt.Sprintf("warm-%d", os.Getpid()))
		if err != nil {
			return err
		}
		defer c.close()
		w.clients = append(w.clients, c)
	}
	mem, unmap, err := openSharedMem(w.SharedMem)
	if err != nil {
		return err
	}
	defer unmap()
	w.mem = mem

	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var start time.Time
	if err := errors.Join(out.Encode("ready"), in.Decode(&start)); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	before := cpuTime()
	all := tasks[w.Task](w, start)
	all.CPU = cpuTime() - before
	return out.Encode(all)
}

// cpuTime returns the CPU time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // possible only with an invalid argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openWarm opens a client, and locks a few times, so that it is connected and the scripts are loaded.
func (s system) openWarm(addr, key string) (client, error) {
	c, err := s.open(addr)
	if err != nil {
		return nil, err
	}
	h := c.handle(key)
	for range 3 {
		if err = h.lock(context.Background()); err == nil {
			err = h.unlock()
		}
		if err != nil {
			c.close()
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return c, nil
}
