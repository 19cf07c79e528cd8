package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t `)

// testsOf returns the names of the tests in the directory.
func testsOf(root, dir string) (names []string) {
	files, _ := filepath.Glob(filepath.Join(root, dir, "*_test.go")) // the pattern is valid
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// packages returns the packages whose tests may catch a mistake in a file.
func packages(file string) []string {
	switch dir := strings.TrimSuffix(filepath.Dir(file), "/lib"); dir {
	case "internal/lease", "internal/redisstore":
		return []string{dir, "mutex", "semaphore", "waitgroup"}
	case "internal/retry", "internal/result", "internal/client":
		return []string{dir, "internal/lease", "mutex", "semaphore", "waitgroup"}
	case "internal/taskgroup":
		return []string{dir, "internal/lease", "waitgroup"}
	case "internal/ratelimit":
		return []string{dir, "internal/lease", "semaphore"}
	case "internal/trace":
		return []string{"internal/lease"}
	default:
		return []string{dir}
	}
}

// quickFlags has flags with which a package's tests take seconds.
var quickFlags = map[string][]string{"internal/lease": {"-sim.seeds=30"}}

// fill appends a line to the file for each mutant without one: its name, and the tests of the selected packages
// that fail on it.
func (r *runner) fill(ctx context.Context, file string, all, ms []mutant, selected func(pkg string) bool, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ms = slices.DeleteFunc(ms, func(m mutant) bool {
		return strings.Contains(string(text), "\n"+m.name+"\t") || !slices.ContainsFunc(packages(m.file), selected)
	})
	pkgs := map[string]bool{}
	for _, m := range ms {
		for _, pkg := range packages(m.file) {
			if selected(pkg) {
				pkgs[pkg] = true
			}
		}
	}
	if err := r.build(ctx, all, pkgs); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.forEach(len(ms), func(i int) error {
		m := ms[i]
		row := []string{m.name}
		for _, pkg := range packages(m.file) {
			if pkgs[pkg] {
				row = append(row, r.catching(ctx, m, pkg)...)
			}
		}
		if !pkgs[m.pkg] {
			row = append(row, m.pkg+"."+strings.Split(m.test, "/")[0])
		}
		slices.Sort(row[1:])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(out, "%s: %d\n", m.name, len(row)-1)
		_, err := fmt.Fprintln(f, strings.Join(row, "\t"))
		return err
	})
}

var verdict = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) `)

// catching returns the tests of the package that fail on the mutant. It runs all tests in one process, and
// after a panic or a timeout each test without a verdict by itself.
func (r *runner) catching(ctx context.Context, m mutant, pkg string) (tests []string) {
	output, _ := r.run(ctx, &m, pkg, ".", 3*time.Minute, quickFlags[pkg]...)
	verdicts := map[string]string{}
	for _, v := range verdict.FindAllStringSubmatch(output, -1) {
		verdicts[v[2]] = v[1]
	}
	for _, test := range testsOf(r.root, pkg) {
		if verdicts[test] == "" {
			if _, err := r.run(ctx, &m, pkg, pattern(test), 30*time.Second, quickFlags[pkg]...); err != nil {
				verdicts[test] = "FAIL"
			}
		}
		if verdicts[test] == "FAIL" && r.passes(ctx, pkg, test, quickFlags[pkg]...) == nil {
			tests = append(tests, pkg+"."+test)
		}
	}
	return tests
}
