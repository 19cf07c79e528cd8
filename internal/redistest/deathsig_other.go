//go:build !linux

package redistest

import "syscall"

// dieWithParent has no counterpart here: a child outlives tests that are killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
