package main

import (
	"context"
)

// none is no lock at all: a yardstick, and a way to see that the lack of one is
// noticed.
type none struct{}

func openNone(string) (client, error) { return none{}, nil }

func (n none) handle(string) handle     { return n }
func (none) close()                     {}
func (none) lock(context.Context) error { return nil }
func (none) unlock() error              { return nil }
