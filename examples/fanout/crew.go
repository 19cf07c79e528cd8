package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// A crew is the worker processes.
type crew struct {
	ctx     context.Context // ends when one of them has failed; its end ends them all
	end     context.CancelCauseFunc
	workers []*process
	running sync.WaitGroup
}

type process struct {
	*exec.Cmd
	killed atomic.Bool
}

// hire starts the workers.
func hire(ctx context.Context, cfg config) (*crew, error) {
	c := &crew{}
	c.ctx, c.end = context.WithCancelCause(ctx)
	for n := 1; n <= cfg.Workers; n++ {
		if err := c.start(task{n, cfg}); err != nil {
			c.dismiss()
			return nil, err
		}
	}
	return c, nil
}

// start starts this program again as a worker.
func (c *crew) start(t task) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	told, err := json.Marshal(t)
	if err != nil {
		return err
	}
	p := &process{Cmd: exec.CommandContext(c.ctx, exe)}
	p.Env = append(os.Environ(), taskEnv+"="+string(told))
	p.Stderr = os.Stderr
	stdin, err := p.StdinPipe()
	if err != nil {
		return err
	}
	// When stdin ends, a worker finishes what it has in hand. One that hangs is
	// killed in the end.
	p.Cancel = func() error {
		_ = stdin.Close()        // fails only if it has been closed
		return os.ErrProcessDone // has Wait return how the process ended, and not that ctx has
	}
	p.WaitDelay = 2*t.Config.Job + t.Config.TTL + 10*time.Second
	if err := p.Start(); err != nil {
		return err
	}
	c.workers = append(c.workers, p)
	c.running.Go(func() {
		if err := p.Wait(); err != nil && !p.killed.Load() {
			c.end(fmt.Errorf("worker %d: %w", t.N, err))
		}
	})
	return nil
}

// kill ends a worker as a crash would: its tasks are neither done nor given up.
func (c *crew) kill(worker int) {
	p := c.workers[worker-1]
	p.killed.Store(true)
	_ = p.Process.Kill() // fails only if it has ended
}

// dismiss returns when all have ended.
func (c *crew) dismiss() {
	c.end(nil)
	c.running.Wait()
}
