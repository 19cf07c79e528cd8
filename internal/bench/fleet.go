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

// A job is what one worker process does.
type job struct {
	Task           string // one of tasks
	System, Addr   string
	SharedMem      string // a file
	Goroutines     int
	OwnKeys        bool // each goroutine has a key that nobody else wants
	Reads          bool // one goroutine of all writes, the others read
	Limit          int  // how many may be inside at once
	Clients        int  // of this process; 1 if 0
	Index          int  // of this process among those of its row
	Hold, Duration time.Duration
}

// A fleet is worker processes: this binary, run again.
type fleet struct {
	workers []*process
	cancel  context.CancelFunc // kills them
}

type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *json.Decoder
}

// startFleet returns when all workers are connected and ready.
func startFleet(ctx context.Context, n int, j job) (*fleet, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout+j.Duration)
	f := &fleet{cancel: cancel}
	for j.Index = range n {
		if err := f.add(ctx, j); err != nil {
			f.end()
			return nil, err
		}
	}
	for _, w := range f.workers {
		var ready string
		if err := w.reports.Decode(&ready); err != nil {
			f.end()
			return nil, fmt.Errorf("a worker does not start: %w", err)
		}
	}
	return f, nil
}

func (f *fleet) add(ctx context.Context, j job) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		return err
	}
	f.workers = append(f.workers, &process{cmd, stdin, json.NewDecoder(stdout)})
	return nil
}

// run has all workers do their job at the same time.
func (f *fleet) run() (*tally, error) {
	start := time.Now().Add(50 * time.Millisecond)
	tallies, errs := make([]tally, len(f.workers)), make([]error, len(f.workers))
	var wg sync.WaitGroup
	for i, w := range f.workers {
		wg.Go(func() { errs[i] = errors.Join(json.NewEncoder(w.stdin).Encode(start), w.reports.Decode(&tallies[i])) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("a worker does not end: %w", err)
	}
	return merged(tallies), nil
}

// end kills the workers that are left, as kill -9 does, and waits for them.
func (f *fleet) end() {
	f.cancel()
	for _, w := range f.workers {
		_ = w.stdin.Close()
		_ = w.cmd.Wait() // what counts, they have reported before
	}
}
