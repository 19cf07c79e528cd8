//go:build !unix

package main

import (
	"os"
	"syscall"
)

// passed are the signals that end the wait for the lock. The console sends them to the
// command itself.
var passed = []os.Signal{os.Interrupt}

func ends(s os.Signal) bool { return s == os.Interrupt }

// A child is the command. Here it has no group, and nothing stops it.
type child struct {
	process *os.Process
	ended   chan int // its status
	stopped chan syscall.Signal
}

func startChild(path string, argv, env []string, _ chan os.Signal) (*child, error) {
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return nil, err
	}
	c := &child{process: p, ended: make(chan int, 1)}
	go func() {
		state, err := p.Wait()
		if err != nil {
			c.ended <- exitCannotRun
			return
		}
		c.ended <- state.ExitCode()
	}()
	return c, nil
}

func (c *child) pass(os.Signal) {}

// terminate has no counterpart here: what cannot be asked is ended.
func (c *child) terminate() { c.kill() }

func (c *child) kill() { _ = c.process.Kill() } // it may have ended

func (c *child) suspend(syscall.Signal, func() bool) {}

func (c *child) over() {}

func terminalName() string { return "" }

func interactive() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
