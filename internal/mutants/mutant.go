package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is the library with one mistake, and the test that must notice it.
type mutant struct {
	name     string
	breaks   string
	file     string // from the root of the module
	old, new string // old stands in the file once
	pkg      string // the directory of the test's package
	test     string // the fastest that notices; subtests after a slash
}

// A verdict is what became of a mutant.
type verdict string

const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED"
	unbuilt  verdict = "DOES NOT BUILD" // which shows nothing: the compiler has caught it, and no test
)

// table returns all mutants.
func table() []mutant {
	return slices.Concat(mutexScripts, mutexEngine, cancellation, permitScripts, permitEngine, keys, limits, waitGroup, bounds, traces, elections, values, confirmations, linger)
}

// apply returns the text of the file with the mistake.
func (m mutant) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("%s: what it replaces stands %d times in %s, and not once", m.name, n, m.file)
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1)), nil
}

// pattern is what selects the test, and no other whose name is longer.
func (m mutant) pattern() string {
	return "^" + strings.Join(strings.Split(m.test, "/"), "$/^") + "$"
}
