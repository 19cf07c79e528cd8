//go:build unix && !linux

package main

import "syscall"

// dieWithParent has no counterpart here: the child of a dlock that is killed runs on.
func dieWithParent(*syscall.SysProcAttr) {}
