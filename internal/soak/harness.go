package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// A harness is the testing.TB for the servers and proxies of a test run. A failure ends the test run by a
// panic.
type harness struct {
	testing.TB
	dir      string
	cleanups []func()
}

func (h *harness) Helper()                           {}
func (h *harness) Context() context.Context          { return context.Background() }
func (h *harness) Cleanup(f func())                  { h.cleanups = append(h.cleanups, f) }
func (h *harness) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (h *harness) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (h *harness) Skip(args ...any)                  { panic(fmt.Sprint(args...)) }

func (h *harness) TempDir() string { return must(os.MkdirTemp(h.dir, "")) }

// inTestRun calls f with a harness, and returns the failure that ended the test run, if any.
func inTestRun(f func(h *harness)) (err error) {
	h := &harness{dir: must(os.MkdirTemp("", "baton-soak-"))}
	defer func() {
		p := recover()
		for i := range h.cleanups {
			h.cleanups[len(h.cleanups)-1-i]()
		}
		_ = os.RemoveAll(h.dir)
		if _, mistake := p.(runtime.Error); mistake {
			panic(p)
		}
		if p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	f(h)
	return nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[V any](v V, err error) V {
	check(err)
	return v
}
