package main

import (
	"context"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	workIfTold()
	goleak.VerifyTestMain(m)
}

// none is no lock at all, to see that the lack of one is noticed.
type none struct{}

func init() {
	systems = append(systems, system{
		name: "none", soloOnly: true, open: func(string) (client, error) { return none{}, nil },
	})
}

func (n none) handle(string) handle     { return n }
func (none) close()                     {}
func (none) lock(context.Context) error { return nil }
func (none) unlock() error              { return nil }
