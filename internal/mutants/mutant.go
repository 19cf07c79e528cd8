package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is the library with one mistake, and the test that must catch it.
type mutant struct {
	name     string
	breaks   string // description of the mistake
	file     string // from the root of the module
	old, new string // old occurs in the file once
	pkg      string // directory of the test's package
	test     string // the fastest test that catches it; subtests after a slash
}

// A verdict is the result of a mutant.
type verdict string

const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED"
	unbuilt  verdict = "DOES NOT BUILD" // proves nothing, because the compiler has caught it, not a test
)

// table returns all mutants.
func table() []mutant {
	return slices.Concat(mutexScripts, mutexEngine, cancellation, permitScripts, permitEngine, keys, limits, waitGroup, bounds, traces, elections, values, confirmations, linger)
}

// apply returns the content of the file with the mistake.
func (m mutant) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("%s: the text to replace occurs %d times in %s, want once", m.name, n, m.file)
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1)), nil
}

// pattern returns a regular expression that matches only the test.
func (m mutant) pattern() string {
	return "^" + strings.Join(strings.Split(m.test, "/"), "$/^") + "$"
}
