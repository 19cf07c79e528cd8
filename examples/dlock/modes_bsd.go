//go:build darwin || freebsd || netbsd || dragonfly

package main

import "syscall"

const (
	getModes = syscall.TIOCGETA
	setModes = syscall.TIOCSETA
)
