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

// A result is the outcome of a test or subtest.
type result struct {
	end      string // "pass", "fail" or "skip"; "" after a panic of another test
	started  time.Time
	stalled  time.Duration // stall of the machine during the test
	measured []measure
	output   string
}

// results has the results by "package.Test/subtest".
type results map[string]*result

// run runs the tests, and repeats tests that failed while the machine stalled.
func run(names []string, parallel int) (results, error) {
	defer redistest.WatchStalls()()
	tests := map[string]bool{} // without subtests
	for _, name := range names {
		test, _, _ := strings.Cut(name, "/")
		tests[test] = true
	}
	got := results{}
	if err := got.test(slices.Collect(maps.Keys(tests)), parallel); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		r := got.of(name)
		for n := 1; n < attempts && r.end == "fail" && r.stalled >= stallLimit; n++ {
			fmt.Fprintf(os.Stderr, "%s failed while the machine stalled, for %v in total: repeating\n", name, r.stalled.Round(time.Millisecond))
			maps.DeleteFunc(got, func(other string, _ *result) bool { return is(other, name) })
			if err := got.test([]string{name}, 1); err != nil {
				return nil, err
			}
			r = got.of(name)
		}
		for other, r := range got {
			if is(other, name) && r.end != "pass" {
				fmt.Fprint(os.Stderr, r.output)
			}
		}
	}
	return got, nil
}

// test runs tests with one command, n tests of a package at a time.
func (g results) test(names []string, n int) error {
	args := []string{"test", "-json", "-count", "1", "-p", "1", "-parallel", strconv.Itoa(n), "-run"}
	var functions, packages []string
	for _, name := range names {
		pkg, function, _ := split(name)
		functions, packages = append(functions, function), append(packages, dirs[pkg])
	}
	slices.Sort(packages)
	args = append(append(args, "^("+strings.Join(functions, "|")+")$"), slices.Compact(packages)...)
	cmd := exec.Command("go", args...)
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
		return err
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) { // the output names the failed tests
		return err
	}
	return nil
}

// of returns the result of a test.
func (g results) of(name string) *result {
	if g[name] == nil {
		g[name] = new(result)
	}
	return g[name]
}

// read records the output of go test -json.
func (g results) read(out io.Reader) error {
	for d := json.NewDecoder(out); ; {
		var event struct{ Action, Package, Test, Output string }
		if err := d.Decode(&event); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r := g.of(path.Base(event.Package) + "." + event.Test)
		switch event.Action {
		case "run", "cont":
			r.started = time.Now()
		case "pass", "fail", "skip":
			r.end, r.stalled = event.Action, redistest.Stalled(r.started)
		case "output":
			if m, ok := parse(event.Output); ok {
				r.measured = append(r.measured, m)
			}
			r.output += event.Output
		}
	}
}

// is reports whether name is the test, or a subtest of it.
func is(name, test string) bool { return name == test || strings.HasPrefix(name, test+"/") }

// resultOf returns the worst measurement of a row, and an error for tests that ran and did not pass.
func (g results) resultOf(r row, ran []string) (worst string, err error) {
	var w measure
	for _, test := range r.tests {
		if end := g.of(test).end; end != "pass" && slices.Contains(ran, test) {
			err = errors.Join(err, fmt.Errorf("row %d: %s: %q", r.number, test, end))
		}
		for name, result := range g {
			for _, m := range result.measured {
				if is(name, test) && (w.desc == "" || m.worse(w)) {
					w = m
				}
			}
		}
	}
	if w.desc == "" {
		return "no time to measure", err
	}
	return w.String(), err
}
