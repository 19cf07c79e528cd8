// Command mutants breaks the library in one way after the other, and checks that a test fails
// each time. A test that has never failed proves little.
//
//	go run ./internal/mutants [-run regexp] [-test regexp] [-count n] [-timeout d] [-v]
//
// It changes no file: the compiler reads the changed file as an overlay. It fails if a mutant
// survives, no longer applies, or does not build. README.md has the last run.
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
	"slices"
	"strings"
	"time"
)

func main() {
	run := flag.String("run", "", "try only the mutants whose name matches this `regexp`")
	test := flag.String("test", "", "run the tests that match this `regexp`, in place of the one that is listed")
	verbose := flag.Bool("v", false, "print what the tests say")
	count := flag.Int("count", 1, "run the test of each mutant `n` times; all must fail")
	timeout := flag.Duration("timeout", 2*time.Minute, "of one test")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := try(ctx, *run, *verbose, &lab{test: *test, count: *count, timeout: *timeout}); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// try tries the mutants whose name matches.
func try(ctx context.Context, run string, verbose bool, l *lab) error {
	chosen, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	l.root = filepath.Dir(strings.TrimSpace(string(mod)))
	if l.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	ms := slices.DeleteFunc(table(), func(m mutant) bool { return !chosen.MatchString(m.name) })
	return l.tryAll(ctx, ms, verbose, os.Stdout)
}
