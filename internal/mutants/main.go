// Command mutants breaks the library on purpose, in one way after the other, and
// shows that a test notices each. A test that passes says little unless it was seen
// to fail: here that can be seen again at any time.
//
//	go run ./internal/mutants [-run regexp] [-j n] [-test regexp] [-count n]
//	go run ./internal/mutants -matrix [-in regexp]
//
// It changes no file of the tree: the compiler is told to read another one in its
// place. It fails if a mutant survives, no longer applies, or does not build. With
// -matrix it runs all tests of a package on each mutant that has no line in matrix.tsv,
// and adds a line: the mutant, and the tests that fail.
package main

import (
	"context"
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
	run := flag.String("run", "", "try only the mutants whose name matches this `regexp`")
	test := flag.String("test", "", "run the tests that match this `regexp`, in place of the one that is listed")
	count := flag.Int("count", 1, "run the test of each mutant `n` times; all must fail")
	jobs := flag.Int("j", runtime.NumCPU()+1, "try so many mutants at a time; their tests mostly wait")
	matrix := flag.Bool("matrix", false, "write to matrix.tsv which tests catch those mutants that it does not list yet")
	in := flag.String("in", "^internal/", "with -matrix: run the tests of the packages that match this `regexp`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l := &lab{test: *test, count: *count, jobs: *jobs}
	err := l.open(ctx)
	if err == nil {
		err = try(ctx, l, *run, *matrix, *in)
		os.RemoveAll(l.dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// open finds the module, and makes a directory for what is built.
func (l *lab) open(ctx context.Context) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	l.root = filepath.Dir(strings.TrimSpace(string(mod)))
	l.dir, err = os.MkdirTemp("", "mutants")
	return err
}

// try tries the mutants whose name matches.
func try(ctx context.Context, l *lab, run string, fill bool, in string) error {
	chosen, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	pkgs, err := regexp.Compile(in)
	if err != nil {
		return err
	}
	ms := slices.DeleteFunc(table(), func(m mutant) bool { return !chosen.MatchString(m.name) })
	if fill {
		x, err := readMatrix(l.root, filepath.Join(l.root, "internal/mutants/matrix.tsv"))
		if err != nil {
			return err
		}
		return l.fill(ctx, x, ms, pkgs.MatchString, os.Stdout)
	}
	return l.tryAll(ctx, ms, os.Stdout)
}
