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

// table returns all mutants.
func table() []mutant {
	return slices.Concat(mutexScripts, mutexEngine, cancellation, permitScripts, permitEngine, keys, limits, waitGroup, bounds, traces, elections, values, confirmations, linger)
}

// isScript reports whether the mistake is in a script.
func (m mutant) isScript() bool { return filepath.Ext(m.file) == ".lua" }

// read returns the file without the mistake, and the position of the mistake.
func (m mutant) read(root string) (text string, at int, err error) {
	b, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", 0, err
	}
	text = string(b)
	if n := strings.Count(text, m.old); n != 1 {
		return "", 0, fmt.Errorf("%s: the text to replace occurs %d times in %s, want once", m.name, n, m.file)
	}
	return text, strings.Index(text, m.old), nil
}

// pattern returns a regular expression that matches only the test.
func pattern(test string) string { return "^" + strings.ReplaceAll(test, "/", "$/^") + "$" }
