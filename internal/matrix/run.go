package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// results are what came of the tests, by "package.Test/case".
type results struct {
	ended    map[string]string // "pass", "fail" or "skip"
	measured map[string][]measure
}

// run runs the tests of the rows, those of each package by one command.
func run(list []row) (*results, error) {
	functions := map[string][]string{}
	for _, r := range list {
		for _, test := range r.tests {
			pkg, function, _ := split(test)
			if !slices.Contains(functions[pkg], function) {
				functions[pkg] = append(functions[pkg], function)
			}
		}
	}
	got := &results{map[string]string{}, map[string][]measure{}}
	for pkg, names := range functions {
		cmd := exec.Command("go", "test", "-json", "-count", "1", "-run", "^("+strings.Join(names, "|")+")$", "./"+dirs[pkg])
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		if err := got.read(out); err != nil {
			return nil, fmt.Errorf("%s: %w", pkg, err)
		}
		var failed *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &failed) { // a test that fails is in the output
			return nil, err
		}
	}
	return got, nil
}

// read takes in what go test -json says.
func (g *results) read(out io.Reader) error {
	said := map[string]string{}
	for d := json.NewDecoder(out); ; {
		var event struct{ Action, Package, Test, Output string }
		switch err := d.Decode(&event); {
		case err == io.EOF:
			for name, text := range said { // a panic ends them all without a word
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
		case "pass", "fail", "skip":
			if event.Test != "" {
				g.ended[name] = event.Action
			}
			if event.Action == "fail" {
				fmt.Fprint(os.Stderr, said[name])
			}
		case "output":
			if m, ok := parse(event.Output); ok {
				g.measured[name] = append(g.measured[name], m)
			}
			said[name] += event.Output
		}
	}
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
