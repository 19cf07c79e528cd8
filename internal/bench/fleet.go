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

// startTimeout limits a worker's start, and the time that it takes beyond its duration.
const startTimeout = 15 * time.Second

// A job is what one worker process does.
type job struct {
	Task           string // one of tasks
	System, Addr   string
	SharedMem      string // the file's name
	Goroutines     int
	OwnKeys        bool // each goroutine has a key of its own
	Reads          bool // one goroutine writes, the others read
	Limit          int  // maximum number of goroutines inside at once
	Clients        int  // number of clients of this process; 0 means 1
	Index          int  // number of this process in its row
	Hold, Duration time.Duration
}

// A fleet is a group of worker processes, which run this binary.
type fleet struct {
	workers []*process
	cancel  context.CancelFunc // kills the workers
}

type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *json.Decoder
}

// startFleet starts n workers, and returns when all are connected and ready.
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
			return nil, fmt.Errorf("a worker did not start: %w", err)
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

// run makes all workers do their job at the same time.
func (f *fleet) run() (*tally, error) {
	start := time.Now().Add(50 * time.Millisecond)
	tallies, errs := make([]tally, len(f.workers)), make([]error, len(f.workers))
	var wg sync.WaitGroup
	for i, w := range f.workers {
		wg.Go(func() { errs[i] = errors.Join(json.NewEncoder(w.stdin).Encode(start), w.reports.Decode(&tallies[i])) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("a worker did not finish: %w", err)
	}
	return merged(tallies), nil
}

// end kills the remaining workers with SIGKILL, and waits for them.
func (f *fleet) end() {
	f.cancel()
	for _, w := range f.workers {
		_ = w.stdin.Close()
		_ = w.cmd.Wait() // the workers have already reported their results
	}
}
