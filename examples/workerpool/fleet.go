package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
)

// A deed is what a worker says it does, or what became of it.
type deed string

const (
	takes  deed = "takes"  // a permit
	begins deed = "begins" // a job
	ends   deed = "ends"   // a job
	breaks deed = "breaks" // a job, as the permit is lost
	gives  deed = "gives"  // a permit back
	lost   deed = "lost"   // a permit, as it found out when it gave it back
	died   deed = "died"
)

type event struct {
	worker int   // counted from 1
	hold   int64 // the fence of its hold on a permit, which no other hold has
	deed   deed
}

// A fleet is the worker processes.
//
// They all speak on one pipe, so that what they say comes in the order in which
// they said it: who has a permit next speaks after the one who had it before.
type fleet struct {
	events  chan event // closed when all have ended
	err     error      // of workers; to be read when events is closed
	workers []*process
	running sync.WaitGroup

	mu     sync.Mutex
	failed []error // guarded by mu
}

type process struct {
	*exec.Cmd
	killed atomic.Bool
}

// startFleet starts the workers. The end of ctx ends them, and so does a failure
// of one.
func startFleet(ctx context.Context, cfg config) (*fleet, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	f := &fleet{events: make(chan event, 64)}
	ctx, cancel := context.WithCancel(ctx)
	for n := 1; n <= cfg.Workers && err == nil; n++ {
		err = f.start(ctx, cancel, task{n, cfg}, w)
	}
	if err != nil {
		cancel()
	}
	go func() {
		f.running.Wait()
		cancel()
		w.Close()
	}()
	go func() {
		defer close(f.events)
		defer r.Close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			var e event
			if _, err := fmt.Sscan(lines.Text(), &e.worker, &e.hold, &e.deed); err == nil {
				f.events <- e
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = errors.Join(f.failed...)
	}()
	if err != nil {
		for range f.events { // of those that did start
		}
		return nil, err
	}
	return f, nil
}

// start starts this program again as a worker.
func (f *fleet) start(ctx context.Context, cancel func(), t task, pipe *os.File) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	told, err := json.Marshal(t)
	if err != nil {
		return err
	}
	p := &process{Cmd: exec.Command(exe)}
	p.Env = append(os.Environ(), taskEnv+"="+string(told))
	p.Stdout, p.Stderr = pipe, os.Stderr
	stdin, err := p.StdinPipe()
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	f.workers = append(f.workers, p)
	context.AfterFunc(ctx, func() { _ = stdin.Close() }) // fails only if it has been closed
	f.running.Go(func() {
		err := p.Wait()
		fmt.Fprintln(pipe, t.N, 0, died)
		if err != nil && !p.killed.Load() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.failed = append(f.failed, fmt.Errorf("worker %d: %w", t.N, err))
			cancel()
		}
	})
	return nil
}

// kill ends a worker as a crash would: it cannot give back what it has.
func (f *fleet) kill(worker int) {
	p := f.workers[worker-1]
	p.killed.Store(true)
	_ = p.Process.Kill() // fails only if it has ended
}
