package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const matrixHead = `# The tests that fail on each mutant: one line per mutant, with its name first. Written by
#
#	go run ./internal/mutants -matrix
`

// A matrix has the tests that catch each mutant, stored in a file.
type matrix struct {
	file string

	mu   sync.Mutex
	rows map[string][]string
}

// readMatrix reads the file, without mutants and tests that no longer exist.
func readMatrix(root, file string) (*matrix, error) {
	x := &matrix{file: file, rows: map[string][]string{}}
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	known := map[string]bool{}
	for _, m := range table() {
		known[m.name] = true
	}
	all := map[string]map[string]bool{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || !known[words[0]] {
			continue
		}
		tests := slices.DeleteFunc(slices.Clone(words[1:]), func(test string) bool {
			pkg, name, _ := strings.Cut(test, ".")
			if all[pkg] == nil {
				all[pkg] = testsOf(root, pkg)
			}
			return !all[pkg][name]
		})
		if len(tests) > 0 || len(words) == 1 { // otherwise none of the tests exists any longer
			x.rows[words[0]] = append([]string{}, tests...)
		}
	}
	return x, nil
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testsOf returns the names of the tests in the directory.
func testsOf(root, dir string) map[string]bool {
	names := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(root, dir, "*_test.go")) // the pattern is valid
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
	}
	return names
}

// set stores the row of a mutant, and writes the file.
func (x *matrix) set(name string, tests []string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows[name] = tests
	text := matrixHead
	for _, name := range slices.Sorted(maps.Keys(x.rows)) {
		text += strings.Join(append([]string{name}, x.rows[name]...), "\t") + "\n"
	}
	return os.WriteFile(x.file, []byte(text), 0o644)
}

// fill runs all tests of the selected packages on each mutant without a row in the file. A mutant that does
// not build gets no row.
func (r *runner) fill(ctx context.Context, x *matrix, ms []mutant, chosen func(pkg string) bool, out io.Writer) error {
	ms = slices.DeleteFunc(ms, func(m mutant) bool { return x.rows[m.name] != nil || !slices.ContainsFunc(packages(m.file), chosen) })
	if err := check(r.root, ms); err != nil {
		return err
	}
	return r.forEach(len(ms), func(w *worker, i int) error {
		m := ms[i]
		tests := []string{}
		for _, pkg := range slices.DeleteFunc(packages(m.file), func(pkg string) bool { return !chosen(pkg) }) {
			more, err := w.catchingTests(ctx, m, pkg)
			if err != nil {
				fmt.Fprintf(out, "%s: %v\n", m.name, err)
				return ctx.Err()
			}
			tests = append(tests, more...)
		}
		if listed := m.pkg + "." + strings.Split(m.test, "/")[0]; !slices.Contains(tests, listed) && !chosen(m.pkg) {
			tests = append(tests, listed)
		}
		slices.Sort(tests)
		fmt.Fprintf(out, "%s: %d\n", m.name, len(tests))
		return x.set(m.name, tests)
	})
}
