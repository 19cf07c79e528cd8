//go:build !unix

package main

import (
	"os"
	"syscall"
)

// forwarded has the signals that end the wait for the lock. The console sends them to the
// command itself.
var forwarded = []os.Signal{os.Interrupt}

func terminates(s os.Signal) bool { return s == os.Interrupt }

// A child is the running command. On this system it has no process group and is never stopped.
type child struct {
	process *os.Process
	ended   chan int // receives the exit status
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

// terminate kills the command, because this system has no SIGTERM.
func (c *child) terminate() { c.kill() }

func (c *child) kill() { _ = c.process.Kill() } // fails if the command has ended

func (c *child) suspend(syscall.Signal, func() bool) {}

func (c *child) cleanUp() {}

func terminalName() string { return "" }

func interactive() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
