//go:build unix

package main

import (
	"os"
	"syscall"
)

func pause(p *os.Process) error   { return p.Signal(syscall.SIGSTOP) }
func proceed(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
