package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

const (
	// stoodStill is a lateness that may turn a test red which holds times against
	// bounds. Its row says nothing then, and is repeated.
	stoodStill = 50 * time.Millisecond
	// attempts is how often a row is run at most.
	attempts = 5
)

// abreast is how many tests run at a time.
var abreast = 1

// results are what came of the tests, by "package.Test/case".
type results struct {
	ended    map[string]string // "pass", "fail" or "skip"
	measured map[string][]measure
	late     map[string]time.Duration // by how much the machine was late during a test that failed
	said     map[string]string
}

func newResults() *results {
	return &results{map[string]string{}, map[string][]measure{}, map[string]time.Duration{}, map[string]string{}}
}

// run runs the tests of the rows, one at a time, and repeats those that failed while
// the machine stood still.
func run(list []row) (*results, error) {
	defer redistest.WatchStalls()()
	functions := map[string]map[string]bool{}
	for _, r := range list {
		for _, test := range r.tests {
			pkg, function, _ := split(test)
			if functions[pkg] == nil {
				functions[pkg] = map[string]bool{}
			}
			functions[pkg][function] = true
		}
	}
	got := newResults()
	for _, pkg := range slices.Sorted(maps.Keys(functions)) {
		names := slices.Sorted(maps.Keys(functions[pkg]))
		if err := got.test(pkg, names, abreast); err != nil {
			return nil, err
		}
		for _, name := range names {
			for n := 1; n < attempts && got.ended[pkg+"."+name] == "fail" && got.late[pkg+"."+name] >= stoodStill; n++ {
				fmt.Fprintf(os.Stderr, "%s.%s failed while the machine stood still, for %v in all: again\n", pkg, name, got.late[pkg+"."+name].Round(time.Millisecond))
				got.forget(pkg + "." + name)
				if err := got.test(pkg, []string{name}, 1); err != nil {
					return nil, err
				}
			}
			if got.ended[pkg+"."+name] == "fail" {
				for test, text := range got.said {
					if is(test, pkg+"."+name) {
						fmt.Fprint(os.Stderr, text)
					}
				}
			}
		}
	}
	return got, nil
}

// test runs tests of a package by one command, n at a time.
func (g *results) test(pkg string, names []string, n int) error {
	args := []string{"test", "-json", "-count", "1", "-p", "1", "-parallel", strconv.Itoa(n), "-run", "^(" + strings.Join(names, "|") + ")$"}
	cmd := exec.Command("go", append(args, dirs[pkg]...)...)
	cmd.Env = append(os.Environ(), redistest.TimedEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := g.read(out); err != nil {
		return fmt.Errorf("%s: %w", pkg, err)
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) { // a test that fails is in the output
		return err
	}
	return nil
}

// read takes in what go test -json says.
func (g *results) read(out io.Reader) error {
	began := map[string]time.Time{}
	for d := json.NewDecoder(out); ; {
		var event struct{ Action, Package, Test, Output string }
		switch err := d.Decode(&event); {
		case err == io.EOF:
			for name, text := range g.said { // a panic ends them all without a word
				if g.ended[name] == "" && strings.Contains(text, "panic:") {
					fmt.Fprint(os.Stderr, text)
				}
			}
			return nil
		case err != nil:
			return err
		}
		name := path.Base(event.Package) + "." + event.Test
		switch event.Action {
		case "run", "cont":
			began[name] = time.Now()
		case "pass", "fail", "skip":
			if event.Test != "" {
				g.ended[name] = event.Action
			}
			if event.Action == "fail" {
				g.late[name] = redistest.Stalled(began[name])
			}
		case "output":
			if m, ok := parse(event.Output); ok {
				g.measured[name] = append(g.measured[name], m)
			}
			g.said[name] += event.Output
		}
	}
}

// is reports whether a name is that of the test, or of a case of it.
func is(name, test string) bool { return name == test || strings.HasPrefix(name, test+"/") }

// forget drops what came of a test.
func (g *results) forget(test string) {
	maps.DeleteFunc(g.ended, func(name string, _ string) bool { return is(name, test) })
	maps.DeleteFunc(g.measured, func(name string, _ []measure) bool { return is(name, test) })
	maps.DeleteFunc(g.said, func(name string, _ string) bool { return is(name, test) })
}

// of says what the tests of a row have measured, and what is wrong with them.
func (g *results) of(r row) (worst string, err error) {
	for _, test := range r.tests {
		if end := g.ended[test]; end != "pass" {
			err = errors.Join(err, fmt.Errorf("row %d: %s: %q", r.number, test, end))
		}
	}
	var w measure
	for name, list := range g.measured {
		if !r.has(name) {
			continue
		}
		for _, m := range list {
			if w.what == "" || m.worse(w) {
				w = m
			}
		}
	}
	if w.what == "" {
		return "no time to measure", err
	}
	return w.String(), err
}
