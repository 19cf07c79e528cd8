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
	// stallLimit is the total stall of the machine from which a failed test is repeated, because
	// the stall may have caused the failure.
	stallLimit = 50 * time.Millisecond
	// attempts is the maximum number of runs of a test.
	attempts = 5
)

// parallelTests is the number of tests that run at a time.
var parallelTests = 1

// results has the outcomes of the tests, by "package.Test/subtest".
type results struct {
	ended    map[string]string // "pass", "fail" or "skip"
	measured map[string][]measure
	stalled  map[string]time.Duration // stall of the machine during a failed test
	output   map[string]string
}

func newResults() *results {
	return &results{map[string]string{}, map[string][]measure{}, map[string]time.Duration{}, map[string]string{}}
}

// run runs the tests of the rows, and repeats tests that failed while the machine stalled.
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
		if err := got.test(pkg, names, parallelTests); err != nil {
			return nil, err
		}
		for _, name := range names {
			for n := 1; n < attempts && got.ended[pkg+"."+name] == "fail" && got.stalled[pkg+"."+name] >= stallLimit; n++ {
				fmt.Fprintf(os.Stderr, "%s.%s failed while the machine stalled, for %v in total: repeating\n", pkg, name, got.stalled[pkg+"."+name].Round(time.Millisecond))
				got.forget(pkg + "." + name)
				if err := got.test(pkg, []string{name}, 1); err != nil {
					return nil, err
				}
			}
			if got.ended[pkg+"."+name] == "fail" {
				for test, text := range got.output {
					if is(test, pkg+"."+name) {
						fmt.Fprint(os.Stderr, text)
					}
				}
			}
		}
	}
	return got, nil
}

// test runs tests of a package with one command, n at a time.
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
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) { // the output names the failed tests
		return err
	}
	return nil
}

// read records the output of go test -json.
func (g *results) read(out io.Reader) error {
	started := map[string]time.Time{}
	for d := json.NewDecoder(out); ; {
		var event struct{ Action, Package, Test, Output string }
		switch err := d.Decode(&event); {
		case err == io.EOF:
			for name, text := range g.output { // after a panic, tests have no result
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
			started[name] = time.Now()
		case "pass", "fail", "skip":
			if event.Test != "" {
				g.ended[name] = event.Action
			}
			if event.Action == "fail" {
				g.stalled[name] = redistest.Stalled(started[name])
			}
		case "output":
			if m, ok := parse(event.Output); ok {
				g.measured[name] = append(g.measured[name], m)
			}
			g.output[name] += event.Output
		}
	}
}

// is reports whether name is the test, or a subtest of it.
func is(name, test string) bool { return name == test || strings.HasPrefix(name, test+"/") }

// forget drops the outcome of a test.
func (g *results) forget(test string) {
	maps.DeleteFunc(g.ended, func(name string, _ string) bool { return is(name, test) })
	maps.DeleteFunc(g.measured, func(name string, _ []measure) bool { return is(name, test) })
	maps.DeleteFunc(g.output, func(name string, _ string) bool { return is(name, test) })
}

// resultOf returns the worst measurement of a row, and an error for tests that did not pass.
func (g *results) resultOf(r row) (worst string, err error) {
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
			if w.desc == "" || m.worse(w) {
				w = m
			}
		}
	}
	if w.desc == "" {
		return "no time to measure", err
	}
	return w.String(), err
}
