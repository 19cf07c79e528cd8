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

// workerEnv makes the binary a worker; it holds the job.
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

// workIfTold does a worker's job, and does not return, in a process that a fleet has started. The
// process writes "ready", reads the instant to begin at, and writes its tally. It ends with its
// parent, because that ends its stdin.
func workIfTold() {
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
	before := spent()
	all := tasks[w.Task](w, start)
	all.CPU = spent() - before
	return out.Encode(all)
}

// spent is the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only of a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openWarm opens a client, and has it connected and the server know the scripts.
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
