package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// workerEnv makes the binary a worker; it holds the job.
const workerEnv = "BATON_BENCH_WORKER"

// workIfTold does a worker's job, and does not return, in a process that a
// fleet has started: it says "ready", is told the instant to begin at, and says
// what came of it. It ends with its parent, as that ends its stdin.
func workIfTold() {
	told := os.Getenv(workerEnv)
	if told == "" {
		return
	}
	if err := work(told); err != nil {
		fmt.Fprintln(os.Stderr, "bench: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(told string) error {
	var j job
	if err := json.Unmarshal([]byte(told), &j); err != nil {
		return err
	}
	prepare := tasks[j.Task]
	if prepare == nil {
		return fmt.Errorf("there is no task %q", j.Task)
	}
	t, err := prepare(j)
	if err != nil {
		return err
	}
	defer t.close()

	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	var start time.Time
	if err := in.Decode(&start); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	before := spent()
	all := t.run(start)
	all.CPU = spent() - before
	return out.Encode(all)
}

// openWarm opens the job's system.
func (j job) openWarm() (client, error) {
	sys, ok := systemNamed(j.System)
	if !ok {
		return nil, fmt.Errorf("there is no system %q", j.System)
	}
	c, err := sys.open(j.Addr)
	if err != nil {
		return nil, err
	}
	if err := warm(c, fmt.Sprintf("warm-%d", os.Getpid())); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// warm opens a connection and has the server know the scripts.
func warm(c client, key string) error {
	h := c.handle(key)
	for range 3 {
		if err := h.lock(context.Background()); err != nil {
			return err
		}
		if err := h.unlock(); err != nil {
			return err
		}
	}
	return nil
}
