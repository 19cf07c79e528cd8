//go:build unix && !(linux || darwin || freebsd || netbsd || dragonfly)

package main

import "errors"

// The standard library cannot set the terminal's foreground group on this system, so commands run
// in the background.
func foreground(int) (int, error) { return 0, errors.ErrUnsupported }

func ownGroup() int { return 0 }

func setForeground(_, _ int) error { return errors.ErrUnsupported }

func modes(int) (restore func()) { return func() {} }
