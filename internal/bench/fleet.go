package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// startTimeout is for how long a worker may start, or take beyond its duration.
const startTimeout = 15 * time.Second

// A fleet is worker processes: this binary, run again.
type fleet struct {
	workers []*worker
	cancel  context.CancelFunc // kills them
}

type worker struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *json.Decoder
}

// startFleet returns when all workers are connected and ready.
func startFleet(ctx context.Context, n int, j job) (*fleet, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout+j.Duration)
	f := &fleet{cancel: cancel}
	for i := range n {
		j.Index = i
		w, err := startWorker(ctx, exe, j)
		if err != nil {
			f.end()
			return nil, err
		}
		f.workers = append(f.workers, w)
	}
	for _, w := range f.workers {
		var ready string
		if err := w.said.Decode(&ready); err != nil {
			f.end()
			return nil, fmt.Errorf("a worker does not start: %w", err)
		}
	}
	return f, nil
}

func startWorker(ctx context.Context, exe string, j job) (*worker, error) {
	told, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), workerEnv+"="+string(told))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &worker{cmd, stdin, json.NewDecoder(stdout)}, nil
}

// run has all workers do their job at the same time.
func (f *fleet) run() (*tally, error) {
	start := time.Now().Add(50 * time.Millisecond)
	for _, w := range f.workers {
		if err := json.NewEncoder(w.stdin).Encode(start); err != nil {
			return nil, err
		}
	}
	tallies, errs := make([]tally, len(f.workers)), make([]error, len(f.workers))
	var wg sync.WaitGroup
	for i, w := range f.workers {
		wg.Go(func() { errs[i] = w.said.Decode(&tallies[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("a worker does not end: %w", err)
	}
	return merged(tallies), nil
}

// end kills the workers that are left, as kill -9 does, and waits for them.
func (f *fleet) end() {
	for _, w := range f.workers {
		_ = w.cmd.Process.Kill()
	}
	f.cancel()
	for _, w := range f.workers {
		_ = w.stdin.Close()
		_ = w.cmd.Wait() // what counts, they have said before
	}
}
