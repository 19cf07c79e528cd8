package redistest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// A program is the testing.TB of a program that is no test. A failure is a panic.
type program struct {
	testing.TB
	dir      string
	cleanups []func()
}

func (p *program) Helper()                           {}
func (p *program) Context() context.Context          { return context.Background() }
func (p *program) Cleanup(f func())                  { p.cleanups = append(p.cleanups, f) }
func (p *program) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (p *program) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (p *program) Skip(args ...any)                  { panic("skipped: " + fmt.Sprint(args...)) }

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp(p.dir, "")
	must(err)
	return dir
}

// Program calls f with a testing.TB for the functions of this package, and cleans up when f returns or
// panics. It returns the value of a panic as an error, unless the panic is a runtime error.
func Program(f func(tb testing.TB)) (err error) {
	dir, err := os.MkdirTemp("", "baton-")
	if err != nil {
		return err
	}
	p := &program{dir: dir}
	defer func() {
		failure := recover()
		for _, cleanup := range slices.Backward(p.cleanups) {
			cleanup()
		}
		_ = os.RemoveAll(dir)
		if _, mistake := failure.(runtime.Error); mistake {
			panic(failure)
		}
		if failure != nil {
			err = fmt.Errorf("%v", failure)
		}
	}()
	f(p)
	return nil
}
