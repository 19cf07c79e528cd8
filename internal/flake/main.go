// Command flake runs the tests many times on a busy machine, and lists those that
// failed. A test that fails there and passes alone depends on time.
//
//	go run ./internal/flake [-n runs] [-busy processes] [-race] [-nice n] [package...]
//
// Everything runs at low priority: the busy processes at 10, and the tests at 10 and
// -nice more. Each run has its tests in another order. The output of a run with a
// failure stays in a file, whose name is printed.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

const busyEnv = "BATON_FLAKE_BUSY"

func main() {
	if os.Getenv(busyEnv) != "" {
		// The parent holds the other end: the process ends with it, however that ends.
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
		//lint:ignore SA5002 it keeps a processor busy
		for {
		}
	}
	n := flag.Int("n", 10, "`runs` of the tests")
	busy := flag.Int("busy", 4, "busy `processes` beside them")
	race := flag.Bool("race", false, "with the race detector")
	nice := flag.Int("nice", 0, "how much lower the priority of the tests is than that of the busy processes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := try(ctx, *n, *busy, command(*race, *nice, flag.Args()), os.Stdout)
	if stop(); err != nil {
		fmt.Fprintln(os.Stderr, "flake:", err)
		os.Exit(1)
	}
}

func command(race bool, nice int, packages []string) []string {
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	args := []string{"nice", "-n", strconv.Itoa(10 + nice), "go", "test", "-json", "-count", "1", "-shuffle", "on"}
	if race {
		args = append(args, "-race")
	}
	return append(args, packages...)
}

// try makes n runs of the command, and fails if a test did.
func try(ctx context.Context, n, busy int, command []string, out io.Writer) error {
	stop, err := load(ctx, busy)
	if err != nil {
		return err
	}
	defer stop()
	failed := map[string]int{}
	for i := range n {
		start := time.Now()
		text, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tests := failures(text)
		if len(tests) == 0 && err != nil { // the build, say
			return fmt.Errorf("%w\n%s", err, text)
		}
		for _, test := range tests {
			failed[test]++
		}
		fmt.Fprintf(out, "run %d of %d, %v: %d failed %s\n", i+1, n, time.Since(start).Round(time.Second), len(tests), strings.Join(tests, " "))
		if len(tests) > 0 {
			if err := keep(text, out); err != nil {
				return err
			}
		}
	}
	for _, test := range slices.SortedFunc(maps.Keys(failed), func(a, b string) int {
		return cmp.Or(cmp.Compare(failed[b], failed[a]), strings.Compare(a, b))
	}) {
		fmt.Fprintf(out, "%d of %d: %s\n", failed[test], n, test)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d tests failed in %d runs", len(failed), n)
	}
	return nil
}

// load starts busy processes, which run until stop is called.
func load(ctx context.Context, busy int) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, cmd := range all {
			_ = cmd.Wait() // it is killed
		}
	}
	for range busy {
		cmd := exec.CommandContext(ctx, "nice", "-n", "10", self)
		cmd.Env = append(os.Environ(), busyEnv+"=1")
		_, err := cmd.StdinPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			stop()
			return nil, err
		}
		all = append(all, cmd)
	}
	return stop, nil
}

// failures returns the tests that failed, without the subtests of which a case did,
// and the packages that failed without a test.
func failures(text []byte) []string {
	failed := map[string]bool{}
	for line := range bytes.Lines(text) {
		var event struct{ Action, Package, Test string }
		if json.Unmarshal(line, &event) == nil && event.Action == "fail" {
			failed[event.Package+"."+event.Test] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(failed)), func(test string) bool {
		for other := range failed {
			if other != test && strings.HasPrefix(other, test) && (strings.HasSuffix(test, ".") || other[len(test)] == '/') {
				return true
			}
		}
		return false
	})
}

// keep writes what a run has printed to a file.
func keep(text []byte, out io.Writer) error {
	f, err := os.CreateTemp("", "baton-flake-*.json")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  its output is in", f.Name())
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
