//go:build unix

package main

import "golang.org/x/sys/unix"

// now is the time, in ns, of a clock that all processes of the machine share and
// that is never set.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
