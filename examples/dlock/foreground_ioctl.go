//go:build linux || darwin || freebsd || netbsd || dragonfly

package main

import (
	"syscall"
	"unsafe"
)

// foreground returns the foreground process group of a terminal. It fails if this is not the
// controlling terminal of the process.
func foreground(fd int) (int, error) {
	var group int32
	err := ioctl(fd, syscall.TIOCGPGRP, unsafe.Pointer(&group))
	return int(group), err
}

func ownGroup() int { return syscall.Getpgrp() }

func setForeground(fd, group int) error {
	g := int32(group)
	return ioctl(fd, syscall.TIOCSPGRP, unsafe.Pointer(&g))
}

// modes returns a function that restores the current modes of a terminal, such as echo.
func modes(fd int) (restore func()) {
	var m syscall.Termios
	if ioctl(fd, getModes, unsafe.Pointer(&m)) != nil {
		return func() {}
	}
	return func() { _ = ioctl(fd, setModes, unsafe.Pointer(&m)) } // fails if the terminal has hung up
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}
