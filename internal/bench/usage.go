//go:build unix

package main

import (
	"syscall"
	"time"
)

// spent is the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only of a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
