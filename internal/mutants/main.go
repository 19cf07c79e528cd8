// Command mutants breaks the library in many ways, one at a time, and shows that a test
// catches each mistake. A passing test proves little unless it has been seen to fail.
//
//	go run ./internal/mutants [-run regexp] [-j n] [-test regexp] [-count n]
//	go run ./internal/mutants -matrix [-in regexp]
//
// It changes no file of the tree: the compiler reads changed files as an overlay. It fails
// if a mutant survives, no longer applies, or does not build. With -matrix, it runs all
// tests of a package on each mutant without a line in matrix.tsv, and adds a line with the
// failed tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

func main() {
	run := flag.String("run", "", "run only the mutants whose name matches this `regexp`")
	test := flag.String("test", "", "run the tests that match this `regexp` instead of the listed one")
	count := flag.Int("count", 1, "run the test of each mutant `n` times; all must fail")
	jobs := flag.Int("j", 3*runtime.NumCPU(), "run `n` tests at a time; they mostly wait")
	matrix := flag.Bool("matrix", false, "add missing mutants to matrix.tsv, with the tests that catch them")
	in := flag.String("in", "^internal/", "with -matrix: run the tests of the packages that match this `regexp`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &runner{test: *test, count: *count, jobs: *jobs, passed: map[string]func() error{}}
	if err := runSelected(ctx, r, *run, *matrix, *in); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// runSelected runs the mutants whose name matches.
func runSelected(ctx context.Context, r *runner, run string, matrix bool, in string) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	r.root = filepath.Dir(strings.TrimSpace(string(mod)))
	if r.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	selected, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	pkgs, err := regexp.Compile(in)
	if err != nil {
		return err
	}
	ms := slices.DeleteFunc(table(), func(m mutant) bool { return !selected.MatchString(m.name) })
	switch {
	case len(ms) == 0:
		return errors.New("no mutant has a matching name")
	case matrix:
		return r.fill(ctx, filepath.Join(r.root, "internal/mutants/matrix.tsv"), table(), ms, pkgs.MatchString, os.Stdout)
	}
	return r.runAll(ctx, table(), ms, os.Stdout)
}
