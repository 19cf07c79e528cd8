//go:build unix && !(linux || darwin || freebsd || netbsd || dragonfly)

package main

import "errors"

// The standard library has no way to a terminal's foreground here: commands run in the
// background of it.
func foreground(int) (int, error) { return 0, errors.ErrUnsupported }

func ownGroup() int { return 0 }

func setForeground(_, _ int) error { return errors.ErrUnsupported }

func modes(int) (restore func()) { return func() {} }
